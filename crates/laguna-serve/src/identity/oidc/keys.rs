//! The keys that an OpenID provider has published, fetched when they are needed and again when they change.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use laguna_base::{Clock, Error, Instant, Result};
use serde_json::Value;
use tokio::sync::Mutex;
use url::Url;

/// Keys are fetched again at this age.
const FRESH: Duration = Duration::from_secs(3600);

/// Keys of this age are used no more, though the provider does not answer.
const STALE: Duration = Duration::from_secs(24 * 3600);

/// Between two fetches, whatever tokens say: unknown keys cost the provider nothing.
const PAUSE: Duration = Duration::from_secs(30);

/// The same after a fetch that failed.
const RETRY: Duration = Duration::from_secs(5);

/// The longest answer of the provider that is read.
const LONGEST: usize = 1 << 20;

/// Keys that are kept.
const MOST: usize = 256;

pub(super) struct Keys {
    issuer: String,
    jwks: Option<Url>,
    client: reqwest::Client,
    clock: Arc<dyn Clock>,
    known: RwLock<Arc<Known>>,
    /// When the provider may be asked again; held while it is asked.
    next: Mutex<Option<Instant>>,
}

#[derive(Default)]
struct Known {
    keys: Vec<Key>,
    fetched: Option<Instant>,
}

struct Key {
    id: Option<String>,
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

impl Keys {
    pub(super) fn new(issuer: &str, jwks: Option<&str>, clock: Arc<dyn Clock>) -> Result<Keys> {
        let base = address("issuer", issuer)?;
        let jwks = jwks.map(|text| address("jwks", text)).transpose()?;
        // An answer from elsewhere is not the provider's: redirects are not followed.
        let mut client = reqwest::Client::builder()
            .timeout(Duration::from_secs(10))
            .redirect(reqwest::redirect::Policy::none());
        if jwks.as_ref().unwrap_or(&base).scheme() == "http" {
            client = client.no_proxy();
        }
        let client =
            client.build().map_err(|error| Error::internal("there is no HTTP client").caused_by(error))?;
        Ok(Keys {
            issuer: issuer.to_string(),
            jwks,
            client,
            clock,
            known: RwLock::default(),
            next: Mutex::default(),
        })
    }

    /// Keys that may have made a signature of `algorithm`: that of the name, or all where none is named.
    pub(super) async fn of(
        self: &Arc<Self>,
        id: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Vec<DecodingKey>> {
        let known = self.known();
        let found = fitting(&known, id, algorithm);
        let age = known.fetched.map(|fetched| self.since(fetched)).filter(|age| *age < STALE);
        if !found.is_empty() && age.is_some_and(|age| age < FRESH) {
            return Ok(found);
        }
        // A task of its own: it goes on when who asks is gone, so that the pause between two fetches is kept.
        let this = self.clone();
        let refreshed = tokio::spawn(async move {
            let outcome = this.refresh(&known).await;
            if let Err(error) = &outcome {
                tracing::warn!(%error, "the keys of the OpenID provider cannot be had");
            }
            outcome
        });
        if !found.is_empty() && age.is_some() {
            return Ok(found);
        }
        let outcome = refreshed.await.unwrap_or_else(|died| {
            Err(Error::internal("the keys of the OpenID provider cannot be had").caused_by(died))
        });
        let known = self.known();
        if known.fetched.is_some_and(|fetched| self.since(fetched) < STALE) {
            return Ok(fitting(&known, id, algorithm));
        }
        outcome?;
        Err(Error::storage("the keys of the OpenID provider are not known")
            .hint("it was asked a moment ago and did not answer; try again in a moment"))
    }

    /// Asks the provider, unless somebody has since `seen` was looked at, or just before.
    async fn refresh(&self, seen: &Arc<Known>) -> Result<()> {
        let mut next = self.next.lock().await;
        let now = self.clock.now();
        if !Arc::ptr_eq(&self.known(), seen) || next.is_some_and(|next| now < next) {
            return Ok(());
        }
        let fetched = self.fetch().await;
        let pause = if fetched.is_ok() { PAUSE } else { RETRY };
        *next = Some(now.plus_micros(pause.as_micros() as i64));
        let known = Known { keys: fetched?, fetched: Some(now) };
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(known);
        Ok(())
    }

    async fn fetch(&self) -> Result<Vec<Key>> {
        let jwks = match &self.jwks {
            Some(jwks) => jwks.clone(),
            None => {
                let base = self.issuer.trim_end_matches('/');
                let at = address("issuer", &format!("{base}/.well-known/openid-configuration"))?;
                let configuration = self.get(&at).await?;
                let text = |key: &str| configuration.get(key).and_then(Value::as_str);
                if text("issuer") != Some(self.issuer.as_str()) {
                    return Err(Error::project("the OpenID provider calls itself by another name")
                        .hint(format!("`serve: {{oidc: {{issuer: {}}}}}`?", text("issuer").unwrap_or("…"))));
                }
                let jwks = text("jwks_uri")
                    .ok_or_else(|| Error::storage("the OpenID provider does not say where its keys are"))?;
                address("jwks", jwks)?
            }
        };
        let set = self.get(&jwks).await?;
        let keys = set.get("keys").and_then(Value::as_array);
        let keys = keys.ok_or_else(|| Error::storage(format!("there are no keys at {jwks}")))?;
        Ok(keys.iter().filter_map(usable).take(MOST).collect())
    }

    async fn get(&self, at: &Url) -> Result<Value> {
        let failed = |why: &str| Error::storage(format!("the OpenID provider {why}: {at}"));
        let broken = |error: reqwest::Error| failed("does not answer").caused_by(error);
        let mut answer = self.client.get(at.clone()).send().await.map_err(broken)?;
        if !answer.status().is_success() {
            return Err(failed(&format!("answers with status {}", answer.status().as_u16())));
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(broken)? {
            body.extend_from_slice(&chunk);
            if body.len() > LONGEST {
                return Err(failed("answers with more than 1 MiB"));
            }
        }
        serde_json::from_slice(&body).map_err(|error| failed("answers with no JSON").caused_by(error))
    }

    fn known(&self) -> Arc<Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn since(&self, then: Instant) -> Duration {
        let passed = self.clock.now().as_micros() - then.as_micros();
        Duration::from_micros(u64::try_from(passed).unwrap_or(0))
    }
}

fn fitting(known: &Known, id: Option<&str>, algorithm: Algorithm) -> Vec<DecodingKey> {
    let fits = |key: &&Key| key.algorithms.contains(&algorithm) && (id.is_none() || key.id.as_deref() == id);
    known.keys.iter().filter(fits).map(|key| key.key.clone()).collect()
}

/// A key of the set that can verify signatures; what is for something else, or unknown here, is passed over.
fn usable(value: &Value) -> Option<Key> {
    let jwk: Jwk = serde_json::from_value(value.clone()).ok()?;
    if !matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature)) {
        return None;
    }
    let mut algorithms = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => vec![
            Algorithm::RS256,
            Algorithm::RS384,
            Algorithm::RS512,
            Algorithm::PS256,
            Algorithm::PS384,
            Algorithm::PS512,
        ],
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => vec![Algorithm::ES256],
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P384 => vec![Algorithm::ES384],
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            vec![Algorithm::EdDSA]
        }
        _ => return None,
    };
    if let Some(stated) = jwk.common.key_algorithm {
        algorithms.retain(|algorithm| stated.to_string() == format!("{algorithm:?}"));
    }
    let key = DecodingKey::from_jwk(&jwk).ok()?;
    Some(Key { id: jwk.common.key_id, algorithms, key })
}

/// An address over TLS, or on this machine.
fn address(key: &str, text: &str) -> Result<Url> {
    let wrong = |why: &str| {
        Error::project(format!("`serve: {{oidc: {{{key}: {text}}}}}` {why}"))
            .hint("write it as https://accounts.example.org; http:// only for a provider on this machine")
    };
    let url = Url::parse(text).map_err(|error| wrong("is no address").caused_by(error))?;
    let is_here = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => return Err(wrong("names no machine")),
    };
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_here => Ok(url),
        _ => Err(wrong("is not protected on its way")),
    }
}
