//! Passwords and tokens as Argon2id hashes (RFC 9106), and the work of comparing them, bounded in memory.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use argon2::{Algorithm, Argon2, Params, PasswordHash, Version};
use laguna_base::{Error, Result};
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::scram::{self, ScramVerifier};

/// Longest password and longest token of a user: nobody's is longer, and hashing is no gift to who sends megabytes.
const LONGEST: usize = 4096;

/// Attempts that wait for their turn; what comes on top is refused at once.
const QUEUE: usize = 256;

/// What a hash of the settings may cost: 256 MiB, 16 passes, 16 lanes.
const COSTLIEST: (u32, u32, u32) = (256 * 1024, 16, 16);

/// Random bytes of this process: salts, stand-ins and keys of the cache come from them.
pub(super) struct Key([u8; 32]);

impl Key {
    pub(super) fn random() -> Result<Key> {
        let mut key = [0; 32];
        fill(&mut key)?;
        Ok(Key(key))
    }

    /// 32 bytes that only this process can derive from `parts`.
    pub(super) fn derive(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        *hasher.finalize().as_bytes()
    }
}

fn fill(bytes: &mut [u8]) -> Result<()> {
    rustls::crypto::aws_lc_rs::default_provider()
        .secure_random
        .fill(bytes)
        .map_err(|_| Error::internal("the system gives no random bytes"))
}

/// `secret` as an Argon2id hash in PHC form with a fresh salt, for `users:` of `laguna.yml`.
pub fn hash_secret(secret: &str) -> Result<String> {
    use argon2::PasswordHasher;
    if secret.is_empty() || secret.len() > LONGEST {
        return Err(Error::project(format!("a password has 1 to {LONGEST} bytes")));
    }
    let mut salt = [0; 16];
    fill(&mut salt)?;
    let failed = |error: argon2::password_hash::Error| {
        Error::internal(format!("the password cannot be hashed: {error}"))
    };
    let salt = argon2::password_hash::SaltString::encode_b64(&salt).map_err(failed)?;
    let hash = argon2().hash_password(secret.as_bytes(), &salt).map_err(failed)?;
    Ok(hash.to_string())
}

/// 19 MiB and two passes, as OWASP advises.
fn argon2() -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::default())
}

/// A hash and what it takes to compute it again.
pub(super) struct Hash {
    argon2: Argon2<'static>,
    salt: Vec<u8>,
    output: Vec<u8>,
}

impl Hash {
    fn of(secret: &str, salt: &[u8]) -> Hash {
        let mut hash = Hash { argon2: argon2(), salt: salt.to_vec(), output: vec![0; 32] };
        hash.output = hash.compute(secret).unwrap_or_default();
        hash
    }

    /// Takes as long as any, and matches nothing: its output is random.
    pub(super) fn stand_in(key: &Key) -> Hash {
        Hash {
            argon2: argon2(),
            salt: key.derive(&[b"stand-in salt"])[..16].to_vec(),
            output: key.derive(&[b"stand-in"]).to_vec(),
        }
    }

    /// A PHC string of the settings.
    fn parse(text: &str) -> Result<Hash> {
        let wrong = |why: &str| {
            Error::project(format!("an Argon2 hash cannot be used: {why}"))
                .hint("`laguna serve --hash-password` makes one")
        };
        let parsed = PasswordHash::new(text).map_err(|error| wrong(&error.to_string()))?;
        if parsed.algorithm.as_str() != "argon2id" {
            return Err(wrong(&format!("it is {}, and only argon2id is accepted", parsed.algorithm)));
        }
        let version = match parsed.version {
            None | Some(0x13) => Version::V0x13,
            Some(_) => return Err(wrong("its version is not 19")),
        };
        let params = Params::try_from(&parsed).map_err(|error| wrong(&error.to_string()))?;
        let (memory, passes, lanes) = COSTLIEST;
        if params.m_cost() > memory || params.t_cost() > passes || params.p_cost() > lanes {
            return Err(wrong("it costs more than m=262144,t=16,p=16"));
        }
        let (Some(salt), Some(output)) = (parsed.salt, parsed.hash) else {
            return Err(wrong("its salt or its hash is missing"));
        };
        let mut bytes = [0; 64];
        let salt = salt.decode_b64(&mut bytes).map_err(|error| wrong(&error.to_string()))?.to_vec();
        if output.len() < 16 {
            return Err(wrong("it is shorter than 16 bytes"));
        }
        let argon2 = Argon2::new(Algorithm::Argon2id, version, params);
        Ok(Hash { argon2, salt, output: output.as_bytes().to_vec() })
    }

    fn compute(&self, secret: &str) -> Option<Vec<u8>> {
        let mut output = vec![0; self.output.len()];
        self.argon2.hash_password_into(secret.as_bytes(), &self.salt, &mut output).ok()?;
        Some(output)
    }

    /// Whether `secret` is what was hashed; takes the same time for a wrong one.
    pub(super) fn matches(&self, secret: &str) -> bool {
        self.compute(secret).is_some_and(|output| same(&output, &self.output))
    }
}

/// No output is shorter than a hash: an empty one stands for a hash that could not be computed.
fn same(a: &[u8], b: &[u8]) -> bool {
    !a.is_empty() && a.ct_eq(b).into()
}

/// A password or token of a user. What was typed plainly is hashed when it is first needed, and kept no longer.
pub(super) struct Secret {
    plain: Mutex<Option<Zeroizing<String>>>,
    salt: [u8; 16],
    /// Whether the settings hold the secret itself.
    typed: bool,
    hash: OnceLock<Hash>,
    /// Only of a plain password.
    scram: Option<(Vec<u8>, OnceLock<ScramVerifier>)>,
}

impl Secret {
    /// A secret of the settings, plain or in PHC form. Plain ones are hashed with `salt`; with `scram` there is a salt for
    /// SCRAM too.
    pub(super) fn new(text: &str, salt: [u8; 16], scram: Option<Vec<u8>>) -> Result<Secret> {
        if text.starts_with("$argon2") {
            let hash = OnceLock::from(Hash::parse(text)?);
            return Ok(Secret { plain: Mutex::default(), salt, typed: false, hash, scram: None });
        }
        if text.is_empty() || text.len() > LONGEST {
            return Err(Error::project(format!("a password or token has 1 to {LONGEST} bytes"))
                .hint("an empty one may come from a variable of the environment that is set to nothing"));
        }
        Ok(Secret {
            plain: Mutex::new(Some(Zeroizing::new(text.to_string()))),
            salt,
            typed: true,
            hash: OnceLock::new(),
            scram: scram.map(|salt| (salt, OnceLock::new())),
        })
    }

    /// Its hash; may take as long as hashing takes.
    pub(super) fn hash(&self) -> &Hash {
        let hash = self.hash.get_or_init(|| {
            let plain = self.plain();
            Hash::of(&plain, &self.salt)
        });
        self.forget();
        hash
    }

    /// What SCRAM needs; `None` where only a hash is known.
    pub(super) fn scram(&self) -> Option<&ScramVerifier> {
        let (salt, verifier) = self.scram.as_ref()?;
        let verifier = verifier.get_or_init(|| scram::verifier(&self.plain(), salt));
        self.forget();
        Some(verifier)
    }

    /// Whether [`Secret::scram`] gives something.
    pub(super) fn has_scram(&self) -> bool {
        self.scram.is_some()
    }

    fn plain(&self) -> Zeroizing<String> {
        self.plain.lock().unwrap_or_else(PoisonError::into_inner).clone().unwrap_or_default()
    }

    /// Lets go of the plain text once everything is derived from it.
    fn forget(&self) {
        let derived = self.scram.as_ref().is_none_or(|(_, verifier)| verifier.get().is_some());
        if derived && self.hash.get().is_some() {
            self.plain.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
    }

    #[cfg(test)]
    pub(super) fn is_forgotten(&self) -> bool {
        self.plain.lock().unwrap().is_none()
    }
}

/// Which of the tokens is `secret`. All are compared, whichever matches; those that were typed plainly share one computation.
pub(super) fn find(tokens: &[Arc<Secret>], secret: &str) -> Option<usize> {
    let mut shared: Option<Vec<u8>> = None;
    let mut found = None;
    for (place, token) in tokens.iter().enumerate() {
        let hash = token.hash();
        let matches = match token.typed {
            true => {
                let output = shared.get_or_insert_with(|| hash.compute(secret).unwrap_or_default());
                same(output, &hash.output)
            }
            false => hash.matches(secret),
        };
        if matches {
            found = Some(place);
        }
    }
    found
}

/// Where hashes are computed: on blocking threads, a few at once.
pub(super) struct Hashing {
    slots: Arc<Semaphore>,
    queue: Semaphore,
}

impl Hashing {
    pub(super) fn new() -> Hashing {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Hashing { slots: Arc::new(Semaphore::new(cores.clamp(1, 4))), queue: Semaphore::new(QUEUE) }
    }

    /// Does `work` when it is its turn. It goes on, and keeps its place, when nobody waits for it any more.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        let Ok(_waiting) = self.queue.try_acquire() else {
            return Err(Error::exhausted("too many logins at once").hint("try again in a moment"));
        };
        let broken = |error: Box<dyn std::error::Error + Send + Sync>| {
            Error::internal("a password could not be compared").caused_by(error)
        };
        let slot = self.slots.clone().acquire_owned().await.map_err(|error| broken(error.into()))?;
        tokio::task::spawn_blocking(move || {
            let _slot = slot;
            work()
        })
        .await
        .map_err(|error| broken(error.into()))
    }
}

/// Whether somebody's secret can be this long.
pub(super) fn is_plausible(secret: &str) -> bool {
    !secret.is_empty() && secret.len() <= LONGEST
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}
