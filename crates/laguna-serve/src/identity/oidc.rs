//! Bearer tokens of an OpenID provider: JWTs (RFC 7519) whose signature, issuer, audience and times are checked, and whose
//! groups decide the role.
//!
//! A token chooses nothing by itself: the algorithm must be on the list and fit a key that the provider has published, and
//! keys in the token, or addresses of keys, are not looked at (RFC 8725).

use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use laguna_base::settings::serve::OidcSettings;
use laguna_base::{Clock, Error, Instant, Result};
use serde_json::{Map, Value};

mod keys;
#[cfg(test)]
mod tests;

use keys::Keys;

/// The longest token that is looked at.
const LONGEST: usize = 16 * 1024;

/// How far the clocks of provider and server may be apart.
const LEEWAY: Duration = Duration::from_secs(30);

/// Signatures by a key pair; a shared secret (HS256) or none at all is no proof.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// Keys that are tried for a token which names none.
const TRIED: usize = 8;

/// The provider and the keys that it has published.
pub(super) struct Oidc {
    settings: OidcSettings,
    keys: Arc<Keys>,
    clock: Arc<dyn Clock>,
}

/// What a right token says.
#[derive(Debug, PartialEq)]
pub(super) struct Verified {
    pub(super) name: String,
    pub(super) groups: Vec<String>,
    /// When it expires.
    pub(super) until: Instant,
}

/// Why a token is not accepted.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It was right once.
    Expired,
    /// It is no token of the provider for this lake.
    Wrong(String),
    /// The provider's keys are not known, and cannot be had.
    Unavailable(Error),
}

impl Oidc {
    pub(super) fn new(settings: &OidcSettings, clock: Arc<dyn Clock>) -> Result<Oidc> {
        if settings.audience.is_empty() {
            return Err(Error::project("`serve: {oidc: {audience: …}}` is empty")
                .hint("name what the tokens are made for, or tokens for other services would be accepted"));
        }
        let keys = Keys::new(&settings.issuer, settings.jwks.as_deref(), clock.clone())?;
        Ok(Oidc { settings: settings.clone(), keys: Arc::new(keys), clock })
    }

    /// The role of somebody in these groups.
    pub(super) fn role(&self, groups: &[String]) -> Option<&str> {
        let (_, role) = self.settings.groups.iter().find(|(group, _)| groups.contains(group))?;
        Some(role)
    }

    /// What the token says, if the provider says it.
    pub(super) async fn verify(&self, token: &str) -> Result<Verified, Refusal> {
        if token.len() > LONGEST {
            return Err(wrong("it is too long"));
        }
        let header = jsonwebtoken::decode_header(token).map_err(|error| wrong(&error.to_string()))?;
        if !ALGORITHMS.contains(&header.alg) {
            return Err(wrong("its algorithm is not accepted"));
        }
        // RFC 7515, 4.1.11: who does not know an extension that is critical must refuse.
        if header.crit.is_some() {
            return Err(wrong("it has critical extensions"));
        }
        let kind = header.typ.as_deref().map(|kind| kind.trim_start_matches("application/").to_lowercase());
        if !matches!(kind.as_deref(), None | Some("jwt" | "at+jwt")) {
            return Err(wrong("it is another kind of token"));
        }
        let keys = self.keys.of(header.kid.as_deref(), header.alg).await.map_err(Refusal::Unavailable)?;
        let claims = keys.iter().take(TRIED).find_map(|key| self.signed(token, header.alg, key));
        self.claims(&claims.ok_or_else(|| wrong("no key of the provider has signed it"))?)
    }

    fn signed(&self, token: &str, algorithm: Algorithm, key: &DecodingKey) -> Option<Map<String, Value>> {
        let mut validation = Validation::new(algorithm);
        // Claims are judged below: by the clock of the process, and with a reason.
        validation.required_spec_claims.clear();
        (validation.validate_exp, validation.validate_nbf, validation.validate_aud) = (false, false, false);
        jsonwebtoken::decode(token, key, &validation).ok().map(|data| data.claims)
    }

    fn claims(&self, claims: &Map<String, Value>) -> Result<Verified, Refusal> {
        let settings = &self.settings;
        if claims.get("iss").and_then(Value::as_str) != Some(settings.issuer.as_str()) {
            return Err(wrong("it is of another issuer"));
        }
        let is_meant = match claims.get("aud") {
            Some(Value::String(audience)) => *audience == settings.audience,
            Some(Value::Array(all)) => all.iter().any(|one| one.as_str() == Some(&settings.audience)),
            _ => false,
        };
        if !is_meant {
            return Err(wrong("it is for another audience"));
        }
        let now = self.clock.now();
        let leeway = LEEWAY.as_micros() as i64;
        let until = time(claims.get("exp")).ok_or_else(|| wrong("it does not say when it expires"))?;
        if let Some(begins) = claims.get("nbf") {
            let begins = time(Some(begins)).ok_or_else(|| wrong("its `nbf` is no time"))?;
            if begins > now.plus_micros(leeway) {
                return Err(wrong("it is not valid yet"));
            }
        }
        let name = claim(claims, &settings.name_claim).and_then(Value::as_str).unwrap_or_default();
        if name.is_empty() || name.len() > 256 || name.chars().any(char::is_control) {
            return Err(wrong("it names nobody"));
        }
        if until.plus_micros(leeway) <= now {
            return Err(Refusal::Expired);
        }
        let groups = match claim(claims, &settings.groups_claim) {
            Some(Value::String(group)) => vec![group.clone()],
            Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).map(str::to_string).collect(),
            _ => Vec::new(),
        };
        Ok(Verified { name: name.to_string(), groups, until })
    }
}

/// Whether `token` has the three parts of a signed JWT, the first of which is a JSON object.
pub(super) fn is_jwt(token: &str) -> bool {
    token.starts_with("eyJ") && token.split('.').count() == 3
}

/// A claim by its name, or by the dotted path to it, as `realm_access.roles`.
fn claim<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    claims.get(name).or_else(|| {
        let (first, rest) = name.split_once('.')?;
        claim(claims.get(first)?.as_object()?, rest)
    })
}

/// A `NumericDate`: seconds since 1970, perhaps with a fraction.
fn time(value: Option<&Value>) -> Option<Instant> {
    let seconds = value?.as_f64().filter(|seconds| (0.0..1e11).contains(seconds))?;
    Some(Instant::from_micros((seconds * 1e6) as i64))
}

fn wrong(why: &str) -> Refusal {
    Refusal::Wrong(why.to_string())
}
