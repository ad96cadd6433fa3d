//! What the server keeps of a password for SCRAM-SHA-256 (RFC 5802, RFC 7677).

use std::fmt;

use pgwire::api::auth::sasl::scram::gen_salted_password;

use super::secret::Key;

/// Rounds of the key derivation, as PostgreSQL has them.
pub const ITERATIONS: usize = 4096;

/// What a SCRAM exchange needs of a user. A name that nobody has gets one that no password fits.
#[derive(Clone)]
pub struct ScramVerifier {
    /// Sent to the client.
    pub salt: Vec<u8>,
    /// Sent to the client.
    pub iterations: usize,
    /// `SaltedPassword` of RFC 5802; as good as the password, so never sent or shown.
    pub salted_password: Vec<u8>,
}

impl fmt::Debug for ScramVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScramVerifier").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

/// The salt of a name: the same each time, whether somebody has the name or not.
pub(super) fn salt(key: &Key, user: &str) -> Vec<u8> {
    key.derive(&[b"scram salt", user.as_bytes()])[..16].to_vec()
}

pub(super) fn verifier(password: &str, salt: &[u8]) -> ScramVerifier {
    let salted_password = gen_salted_password(password, salt, ITERATIONS);
    ScramVerifier { salt: salt.to_vec(), iterations: ITERATIONS, salted_password }
}

/// For a name that nobody has.
pub(super) fn stand_in(key: &Key, user: &str) -> ScramVerifier {
    let salted_password = key.derive(&[b"scram stand-in", user.as_bytes()]).to_vec();
    ScramVerifier { salt: salt(key, user), iterations: ITERATIONS, salted_password }
}
