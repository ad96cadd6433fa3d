//! Who may come in: users by password, by token, and by the tokens of an OpenID provider.
//!
//! Passwords and tokens are compared as Argon2id hashes on threads of their own; what was right a moment ago is remembered
//! by a keyed hash, so that a password in each request costs nothing. Whoever guesses waits ([`throttle`]).

mod oidc;
pub mod scram;
mod secret;
mod state;
#[cfg(test)]
mod tests;
mod throttle;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use laguna_base::settings::UserSettings;
use laguna_base::settings::serve::OidcSettings;
use laguna_base::{Clock, Error, Instant, Result, SystemClock};
use laguna_query::Access;
use quick_cache::sync::Cache;
use tokio::sync::mpsc;

use crate::desk::QueryRecord;
use crate::metrics::{ByDoor, Metrics};
use crate::{Caller, Limits};
use oidc::{Oidc, Refusal};
use scram::ScramVerifier;
pub use secret::hash_secret;
use secret::{Hashing, Key, Secret};
use state::State;
use throttle::Throttle;

/// The role that reads everything.
pub const ADMIN: &str = "admin";

/// Who logs in with this name gives a bearer token as the password: for protocols that know names and passwords only.
pub const TOKEN: &str = "token";

/// How long a right password or token is remembered.
const REMEMBERED: Duration = Duration::from_secs(300);

/// How long a token of the OpenID provider is remembered at most, so that a key that was withdrawn ends its tokens.
const REMEMBERED_OIDC: Duration = Duration::from_secs(3600);

/// Right secrets that are remembered.
const MEMORY: usize = 4096;

/// Everybody who may log in. Without users and without an OpenID provider everybody is the same `anonymous` caller who reads
/// everything. Cheap to clone; clones share users, throttling and memory.
#[derive(Clone)]
pub struct Identities {
    inner: Arc<Inner>,
    /// Where refusals are counted and recorded, and as whose.
    door: &'static str,
    metrics: Option<Metrics>,
    record: Option<mpsc::UnboundedSender<QueryRecord>>,
}

struct Inner {
    state: Arc<State>,
    key: Arc<Key>,
    clock: Arc<dyn Clock>,
    throttle: Throttle,
    hashing: Hashing,
    memory: Cache<[u8; 32], Remembered>,
}

#[derive(Clone)]
struct Remembered {
    caller: Arc<Caller>,
    until: Instant,
}

impl Identities {
    /// The users of a project; `roles` says what each role may read and use.
    pub fn new(
        users: &BTreeMap<String, UserSettings>,
        roles: &BTreeMap<String, (Access, Limits)>,
    ) -> Result<Identities> {
        Identities::open(users, None, roles, Arc::new(SystemClock))
    }

    /// The users of a project, and those whom an OpenID provider vouches for.
    pub fn open(
        users: &BTreeMap<String, UserSettings>,
        oidc: Option<&OidcSettings>,
        roles: &BTreeMap<String, (Access, Limits)>,
        clock: Arc<dyn Clock>,
    ) -> Result<Identities> {
        let key = Arc::new(Key::random()?);
        let state = State::new(users, oidc, roles, &key, &clock)?;
        let inner = Inner {
            state: Arc::new(state),
            key,
            throttle: Throttle::new(clock.clone()),
            clock,
            hashing: Hashing::new(),
            memory: Cache::new(MEMORY),
        };
        let identities = Identities { inner: Arc::new(inner), door: "", metrics: None, record: None };
        identities.prepare();
        Ok(identities)
    }

    /// The same identities, which count and record whom they refuse.
    pub fn recorded(
        self,
        metrics: Metrics,
        record: Option<mpsc::UnboundedSender<QueryRecord>>,
    ) -> Identities {
        Identities { metrics: Some(metrics), record, ..self }
    }

    /// The same identities as `door` asks them.
    pub fn at(&self, door: &'static str) -> Identities {
        Identities { door, ..self.clone() }
    }

    /// Who everybody is where there are no users.
    pub fn anonymous(&self) -> Option<Arc<Caller>> {
        self.state().anonymous.clone()
    }

    /// The caller with this name and password. `from` is where the attempt comes from, for throttling. A user without a
    /// password gives the token in its place, the user [`TOKEN`] any bearer token, and whom the settings do not name a
    /// token of the OpenID provider.
    pub async fn password(&self, user: &str, password: &str, from: IpAddr) -> Result<Arc<Caller>> {
        let state = self.state();
        if let Some(anonymous) = &state.anonymous {
            return Ok(anonymous.clone());
        }
        let is_vouched = || state.oidc.is_some() && !state.users.contains_key(user) && oidc::is_jwt(password);
        if user == TOKEN || is_vouched() {
            return self.token(password, from).await;
        }
        // The name comes before the memory: else guessing at what is remembered would be free.
        self.wait(self.inner.throttle.pair(user, from))?;
        let place = self.place(user, password);
        if let Some(caller) = self.remembered(&place) {
            self.inner.throttle.succeeded(user, from);
            return Ok(caller);
        }
        self.wait(self.inner.throttle.address(from))?;
        let known = state.users.get(user);
        let (secret, nobody) = (known.map(|known| known.secret.clone()), state.nobody.clone());
        let password = password.to_string();
        let matches = self.inner.hashing.run(move || {
            // Too long a password is nobody's, and is compared as an empty one: in the time of any.
            let password = if secret::is_plausible(&password) { password.as_str() } else { "" };
            match &secret {
                Some(secret) => secret.hash().matches(password),
                None => nobody.matches(password),
            }
        });
        let matches = matches.await?;
        let caller = known.filter(|_| matches).map(|known| known.caller.clone());
        let caller = self.settle(user, from, caller)?;
        self.remember(place, &caller, self.inner.clock.now(), REMEMBERED);
        Ok(caller)
    }

    /// The caller with this bearer token: of a user, or of the OpenID provider.
    pub async fn token(&self, token: &str, from: IpAddr) -> Result<Arc<Caller>> {
        let state = self.state();
        if let Some(anonymous) = &state.anonymous {
            return Ok(anonymous.clone());
        }
        // Tokens have no name to guess at, and are too long to be guessed: who is remembered need not wait for who errs.
        let place = self.place("", token);
        if let Some(caller) = self.remembered(&place) {
            return Ok(caller);
        }
        self.wait(self.inner.throttle.pair("", from).max(self.inner.throttle.address(from)))?;
        if let Some(oidc) = state.oidc.as_ref().filter(|_| oidc::is_jwt(token)) {
            return self.vouched(&state, oidc, token, from, place).await;
        }
        let (tokens, typed) = (state.tokens.clone(), token.to_string());
        let found = self.inner.hashing.run(move || match secret::is_plausible(&typed) {
            true => secret::find(&tokens, &typed),
            false => None,
        });
        let found = found.await?.and_then(|place| state.owners.get(place)).cloned();
        let caller = self.settle("", from, found)?;
        self.remember(place, &caller, self.inner.clock.now(), REMEMBERED);
        Ok(caller)
    }

    /// The caller of an `Authorization` header: `Bearer …` or `Basic …`.
    pub async fn authorization(&self, header: Option<&str>, from: IpAddr) -> Result<Arc<Caller>> {
        if let Some(anonymous) = self.anonymous() {
            return Ok(anonymous);
        }
        let Some((scheme, value)) = header.and_then(|header| header.trim().split_once(' ')) else {
            return Err(Error::denied("who asks is not said")
                .sqlstate("28000")
                .hint("send `Authorization: Bearer TOKEN`, or Basic with a user's name and password"));
        };
        if scheme.eq_ignore_ascii_case("bearer") {
            return self.token(value.trim(), from).await;
        }
        use base64::Engine;
        let pair = base64::engine::general_purpose::STANDARD.decode(value.trim()).ok();
        let pair = pair.and_then(|bytes| String::from_utf8(bytes).ok());
        match pair.as_deref().and_then(|pair| pair.split_once(':')) {
            Some((user, password)) if scheme.eq_ignore_ascii_case("basic") => {
                self.password(user, password, from).await
            }
            _ => {
                self.tell("", "the login cannot be read");
                Err(refused())
            }
        }
    }

    /// What a SCRAM exchange with this name needs. A name that nobody has gets a verifier that no password fits, so that
    /// names cannot be found out. `None`: only a hash or a token is known of the user, who has to send it in the clear over
    /// TLS or from this machine, for [`Identities::password`].
    ///
    /// What the exchange has shown is told to [`Identities::proven`], which also throttles.
    pub fn scram(&self, user: &str) -> Option<ScramVerifier> {
        if user == TOKEN {
            return None;
        }
        let state = self.state();
        match state.users.get(user) {
            Some(known) => known.secret.scram().cloned(),
            // As everybody else, where nobody has a plain password.
            None => state.has_scram().then(|| scram::stand_in(&self.inner.key, user)),
        }
    }

    /// The caller of a SCRAM exchange that has ended: `proof` says whether the client has shown that it knows the password.
    pub fn proven(&self, user: &str, proof: bool, from: IpAddr) -> Result<Arc<Caller>> {
        let state = self.state();
        if let Some(anonymous) = &state.anonymous {
            return Ok(anonymous.clone());
        }
        self.wait(self.inner.throttle.address(from))?;
        let known = state.users.get(user).filter(|_| proof);
        self.settle(user, from, known.map(|known| known.caller.clone()))
    }

    /// The caller whom the OpenID provider vouches for.
    async fn vouched(
        &self,
        state: &State,
        oidc: &Oidc,
        token: &str,
        from: IpAddr,
        place: [u8; 32],
    ) -> Result<Arc<Caller>> {
        let verified = match oidc.verify(token).await {
            Ok(verified) => verified,
            Err(Refusal::Unavailable(error)) => return Err(error),
            // A token that was right once is no guess.
            Err(Refusal::Expired) => {
                self.tell("", "the token has expired");
                return Err(refused().hint("the token has expired: get a new one"));
            }
            Err(Refusal::Wrong(why)) => {
                tracing::debug!(why, "a token was refused");
                return self.settle("", from, None);
            }
        };
        let Some(role) = oidc.role(&verified.groups) else {
            self.tell(&verified.name, "the user is in no group that has a role");
            return Err(Error::denied(format!("`{}` is in no group that has a role", verified.name))
                .sqlstate("28000")
                .hint("`serve: {oidc: {groups: …}}` says which group has which role"));
        };
        let (access, limits) = state.role(role, "the group")?;
        let caller = Arc::new(Caller { user: verified.name, role: role.to_string(), access, limits });
        let now = self.inner.clock.now();
        let left = u64::try_from(verified.until.as_micros() - now.as_micros()).unwrap_or(0);
        self.remember(place, &caller, now, Duration::from_micros(left).min(REMEMBERED_OIDC));
        Ok(caller)
    }

    /// What an attempt has come to. Attempts that ran side by side wait for each other here: once too many were wrong, even
    /// a right one is not told to be right.
    fn settle(&self, user: &str, from: IpAddr, caller: Option<Arc<Caller>>) -> Result<Arc<Caller>> {
        let throttle = &self.inner.throttle;
        self.wait(throttle.pair(user, from))?;
        match caller {
            Some(caller) => {
                throttle.succeeded(user, from);
                Ok(caller)
            }
            None => {
                throttle.failed(user, from);
                self.tell(user, "the login was refused");
                Err(refused())
            }
        }
    }

    fn wait(&self, wait: Duration) -> Result<()> {
        if wait.is_zero() {
            return Ok(());
        }
        self.count();
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        Err(Error::exhausted("too many logins were refused")
            .sqlstate("28P01")
            .hint(format!("try again in {seconds} s")))
    }

    fn count(&self) {
        if let Some(metrics) = &self.metrics {
            metrics.refused.get_or_create(&ByDoor { door: self.door }).inc();
        }
    }

    /// Counts and records that somebody was refused, here or by the door itself. Who has to wait is counted only, so that guessing fills no record.
    pub(crate) fn tell(&self, user: &str, message: &str) {
        self.count();
        let Some(record) = &self.record else { return };
        // Who listens may have gone while the server stops.
        let _ = record.send(QueryRecord {
            started: self.inner.clock.now(),
            user: user.chars().take(256).collect(),
            role: String::new(),
            door: self.door,
            sql: String::new(),
            release: None,
            rows: 0,
            bytes: 0,
            seconds: 0.0,
            outcome: "denied",
            message: Some(message.to_string()),
            cached: false,
        });
    }

    fn state(&self) -> Arc<State> {
        self.inner.state.clone()
    }

    /// Where a right secret is remembered.
    fn place(&self, user: &str, secret: &str) -> [u8; 32] {
        self.inner.key.derive(&[b"remembered", user.as_bytes(), secret.as_bytes()])
    }

    fn remembered(&self, place: &[u8; 32]) -> Option<Arc<Caller>> {
        let known = self.inner.memory.get(place)?;
        if known.until > self.inner.clock.now() {
            return Some(known.caller);
        }
        self.inner.memory.remove(place);
        None
    }

    fn remember(&self, place: [u8; 32], caller: &Arc<Caller>, now: Instant, span: Duration) {
        let until = now.plus_micros(i64::try_from(span.as_micros()).unwrap_or(0));
        self.inner.memory.insert(place, Remembered { caller: caller.clone(), until });
    }

    /// Hashes what was typed plainly in the background, so that no plain text is kept and the first login need not wait.
    fn prepare(&self) {
        let state = self.state();
        let secrets: Vec<Arc<Secret>> =
            state.users.values().map(|user| &user.secret).chain(state.tokens.iter()).cloned().collect();
        if secrets.is_empty() {
            return;
        }
        let living = Arc::downgrade(&self.inner);
        let hashes = move || {
            for secret in &secrets {
                secret.scram();
            }
            for secret in secrets {
                // Nobody can log in any more: the process ends, or a test has.
                if living.strong_count() == 0 {
                    return;
                }
                secret.hash();
            }
        };
        // Without a thread the first login does the same work.
        let _ = std::thread::Builder::new().name("hashes".to_string()).spawn(hashes);
    }
}

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identities").field("door", &self.door).finish_non_exhaustive()
    }
}

fn refused() -> Error {
    Error::denied("the login was refused").sqlstate("28P01").hint("name or password is wrong, or the token")
}
