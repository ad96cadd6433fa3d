//! Who may come in: users by password or token.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use laguna_base::settings::UserSettings;
use laguna_base::{Error, Result};
use laguna_query::Access;

use crate::{Caller, Limits};

/// The role that reads everything.
pub const ADMIN: &str = "admin";

/// Everybody who may log in. Without users everybody is the same `anonymous` caller who reads everything.
#[derive(Debug, Clone)]
pub struct Identities {
    anonymous: Option<Arc<Caller>>,
    users: Arc<BTreeMap<String, User>>,
}

#[derive(Debug)]
struct User {
    caller: Arc<Caller>,
    password: Option<String>,
    token: Option<String>,
}

impl Identities {
    /// The users of a project; `roles` says what each role may read and use.
    pub fn new(
        users: &BTreeMap<String, UserSettings>,
        roles: &BTreeMap<String, (Access, Limits)>,
    ) -> Result<Identities> {
        if users.is_empty() {
            let anonymous = Caller {
                user: "anonymous".to_string(),
                role: ADMIN.to_string(),
                access: Access::everything(),
                limits: Limits::default(),
            };
            return Ok(Identities { anonymous: Some(Arc::new(anonymous)), users: Arc::default() });
        }
        let mut all = BTreeMap::new();
        for (name, settings) in users {
            let (access, limits) = match (roles.get(&settings.role), settings.role.as_str()) {
                (Some((access, limits)), _) => (access.clone(), *limits),
                (None, ADMIN) => (Access::everything(), Limits::default()),
                (None, role) => {
                    let known: Vec<&str> = roles.keys().map(String::as_str).chain([ADMIN]).collect();
                    return Err(Error::project(format!(
                        "the user `{name}` has the role `{role}`, which there is not"
                    ))
                    .hint(laguna_base::suggest::hint(role, &known)));
                }
            };
            if settings.password.is_none() && settings.token.is_none() {
                return Err(Error::project(format!("the user `{name}` has neither password nor token"))
                    .hint("write password: \"{{ env('NAME') }}\""));
            }
            let caller = Arc::new(Caller { user: name.clone(), role: settings.role.clone(), access, limits });
            all.insert(
                name.clone(),
                User { caller, password: settings.password.clone(), token: settings.token.clone() },
            );
        }
        Ok(Identities { anonymous: None, users: Arc::new(all) })
    }

    /// Who everybody is where there are no users.
    pub fn anonymous(&self) -> Option<Arc<Caller>> {
        self.anonymous.clone()
    }

    /// The caller with this name and password. `from` is where the attempt comes from, for throttling.
    pub async fn password(&self, user: &str, password: &str, from: IpAddr) -> Result<Arc<Caller>> {
        let _ = from;
        if let Some(anonymous) = &self.anonymous {
            return Ok(anonymous.clone());
        }
        let known =
            self.users.get(user).filter(|known| known.password.as_deref().is_some_and(|p| same(p, password)));
        known.map(|known| known.caller.clone()).ok_or_else(refused)
    }

    /// The caller with this bearer token.
    pub async fn token(&self, token: &str, from: IpAddr) -> Result<Arc<Caller>> {
        let _ = from;
        if let Some(anonymous) = &self.anonymous {
            return Ok(anonymous.clone());
        }
        let known = self.users.values().find(|known| known.token.as_deref().is_some_and(|t| same(t, token)));
        known.map(|known| known.caller.clone()).ok_or_else(refused)
    }

    /// What a SCRAM exchange with this name needs. A name that nobody has gets a verifier that no password fits, so that
    /// names cannot be found out. `None`: only a token is known of the user.
    pub fn scram(&self, user: &str) -> Option<ScramVerifier> {
        use pgwire::api::auth::sasl::scram::{SCRAM_ITERATIONS, gen_salted_password};
        let known = self.users.get(user);
        let password = match known {
            Some(known) => known.password.as_deref()?,
            None => "",
        };
        let salt = laguna_base::hash::of(user.as_bytes()).into_bytes()[..16].to_vec();
        let mut salted_password = gen_salted_password(password, &salt, SCRAM_ITERATIONS);
        if known.is_none() {
            salted_password = vec![0; 33];
        }
        Some(ScramVerifier { salt, iterations: SCRAM_ITERATIONS, salted_password })
    }

    /// The caller of a SCRAM exchange that has ended: `proof` says whether the client has shown that it knows the password.
    pub fn proven(&self, user: &str, proof: bool, from: IpAddr) -> Result<Arc<Caller>> {
        let _ = from;
        self.users.get(user).filter(|_| proof).map(|known| known.caller.clone()).ok_or_else(refused)
    }

    /// The caller of an `Authorization` header: `Bearer …` or `Basic …`.
    pub async fn authorization(&self, header: Option<&str>, from: IpAddr) -> Result<Arc<Caller>> {
        if let Some(anonymous) = &self.anonymous {
            return Ok(anonymous.clone());
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
            _ => Err(refused()),
        }
    }
}

/// What a SCRAM exchange needs of a user.
pub struct ScramVerifier {
    /// Sent to the client.
    pub salt: Vec<u8>,
    /// Sent to the client.
    pub iterations: usize,
    /// `SaltedPassword` of RFC 5802; as good as the password.
    pub salted_password: Vec<u8>,
}

fn same(a: &str, b: &str) -> bool {
    use subtle::ConstantTimeEq;
    a.as_bytes().ct_eq(b.as_bytes()).into()
}

fn refused() -> Error {
    Error::denied("the login was refused").sqlstate("28P01").hint("name or password is wrong, or the token")
}
