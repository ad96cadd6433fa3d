//! A provider on this machine, right tokens, and what attackers send.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Json;
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{EncodingKey, Header};
use laguna_base::clock::FixedClock;
use serde_json::json;
use std::sync::Mutex;

use super::*;
use crate::Identities;

const RSA: &[u8] = include_bytes!("test_keys/rsa.pem");
const RSA_PUBLIC: &[u8] = include_bytes!("test_keys/rsa_public.pem");
const OTHER: &[u8] = include_bytes!("test_keys/other.pem");
const EC: &[u8] = include_bytes!("test_keys/ec.pem");
const ED: &[u8] = include_bytes!("test_keys/ed.pem");
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A provider whose keys can be changed, and which counts how often it is asked for them.
struct Provider {
    issuer: String,
    keys: Arc<Mutex<Vec<Value>>>,
    asked: Arc<AtomicUsize>,
    clock: Arc<FixedClock>,
}

impl Provider {
    async fn start() -> Provider {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}/realm", listener.local_addr().unwrap());
        let keys = Arc::new(Mutex::new(vec![
            json!({"kty": "XYZ", "kid": "unknown kind"}),
            json!({"kty": "oct", "kid": "shared", "k": "c2VjcmV0"}),
            jwk(RSA, Algorithm::RS256, "r1"),
            jwk(EC, Algorithm::ES256, "e1"),
            jwk(ED, Algorithm::EdDSA, "d1"),
        ]));
        let asked = Arc::new(AtomicUsize::new(0));
        let (configuration, set, count) = (issuer.clone(), keys.clone(), asked.clone());
        let router = axum::Router::new()
            .route(
                "/realm/.well-known/openid-configuration",
                get(async move || {
                    let jwks = format!("{configuration}/keys");
                    Json(json!({"issuer": configuration, "jwks_uri": jwks}))
                }),
            )
            .route(
                "/realm/keys",
                get(async move || {
                    count.fetch_add(1, Ordering::SeqCst);
                    Json(json!({"keys": *set.lock().unwrap()}))
                }),
            );
        tokio::spawn(async move { axum::serve(listener, router).await });
        let clock = Arc::new(FixedClock::new("2026-11-22".parse().unwrap()));
        Provider { issuer, keys, asked, clock }
    }

    fn settings(&self) -> OidcSettings {
        OidcSettings {
            issuer: self.issuer.clone(),
            audience: "laguna".to_string(),
            jwks: None,
            name_claim: "sub".to_string(),
            groups_claim: "realm_access.roles".to_string(),
            groups: vec![
                ("z-admins".to_string(), "admin".to_string()),
                ("b".to_string(), "admin".to_string()),
            ],
        }
    }

    fn oidc(&self) -> Oidc {
        Oidc::new(&self.settings(), self.clock.clone()).unwrap()
    }

    /// Claims of a right token, with changes; null takes a claim away.
    fn claims(&self, changes: Value) -> Value {
        let now = self.clock.now().as_micros() / 1_000_000;
        let mut claims = json!({
            "iss": self.issuer, "aud": ["other", "laguna"], "sub": "ana", "exp": now + 600, "nbf": now,
            "realm_access": {"roles": ["staff", "z-admins"]},
        });
        for (key, value) in changes.as_object().unwrap() {
            claims[key] = value.clone();
        }
        claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        claims
    }

    fn token(&self, changes: Value) -> String {
        sign(RSA, Algorithm::RS256, "r1", &self.claims(changes))
    }

    fn pass(&self, seconds: i64) {
        self.clock.set(self.clock.now().plus_micros(seconds * 1_000_000));
    }
}

fn key_of(pem: &[u8], algorithm: Algorithm) -> EncodingKey {
    match algorithm {
        Algorithm::ES256 => EncodingKey::from_ec_pem(pem).unwrap(),
        Algorithm::EdDSA => EncodingKey::from_ed_pem(pem).unwrap(),
        _ => EncodingKey::from_rsa_pem(pem).unwrap(),
    }
}

fn jwk(pem: &[u8], algorithm: Algorithm, id: &str) -> Value {
    let jwk = Jwk::from_encoding_key(&key_of(pem, algorithm), algorithm).unwrap();
    let mut jwk = serde_json::to_value(jwk).unwrap();
    jwk["kid"] = json!(id);
    // As most providers do: the key serves every algorithm of its family.
    jwk.as_object_mut().unwrap().remove("alg");
    jwk
}

fn sign(pem: &[u8], algorithm: Algorithm, id: &str, claims: &Value) -> String {
    let mut header = Header::new(algorithm);
    header.kid = Some(id.to_string());
    jsonwebtoken::encode(&header, claims, &key_of(pem, algorithm)).unwrap()
}

/// A token whose header is as told, with the signature of another.
fn forged(header: Value, claims: &Value, signature: &str) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.{signature}", part(&header), part(claims))
}

async fn refusal(oidc: &Oidc, token: &str) -> String {
    match oidc.verify(token).await {
        Ok(verified) => format!("let in: {verified:?}"),
        Err(Refusal::Expired) => "expired".to_string(),
        Err(Refusal::Wrong(why)) => why,
        Err(Refusal::Unavailable(error)) => format!("unavailable: {error}"),
    }
}

#[tokio::test]
async fn tokens_of_the_provider_are_accepted() {
    let provider = Provider::start().await;
    let oidc = provider.oidc();
    for (pem, algorithm, id) in [
        (RSA, Algorithm::RS256, "r1"),
        (RSA, Algorithm::RS512, "r1"),
        (RSA, Algorithm::PS384, "r1"),
        (EC, Algorithm::ES256, "e1"),
        (ED, Algorithm::EdDSA, "d1"),
    ] {
        let token = sign(pem, algorithm, id, &provider.claims(json!({"aud": "laguna"})));
        assert!(is_jwt(&token));
        let verified = oidc.verify(&token).await.unwrap();
        assert_eq!(
            (verified.name.as_str(), verified.groups),
            ("ana", vec!["staff".into(), "z-admins".into()])
        );
    }
    // A token that names no key is tried with those that fit.
    let unnamed = jsonwebtoken::encode(
        &Header::new(Algorithm::RS256),
        &provider.claims(json!({})),
        &key_of(RSA, Algorithm::RS256),
    );
    assert!(oidc.verify(&unnamed.unwrap()).await.is_ok());
    assert_eq!(provider.asked.load(Ordering::SeqCst), 1);
    assert_eq!(oidc.role(&["b".into(), "z-admins".into()]), Some("admin"));
    assert_eq!(oidc.role(&["staff".into()]), None);
}

#[tokio::test]
async fn forged_tokens_are_refused() {
    let provider = Provider::start().await;
    let oidc = provider.oidc();
    let claims = provider.claims(json!({}));
    let right = provider.token(json!({}));
    let signature = right.rsplit_once('.').unwrap().1;
    let unsigned = "header";
    // No signature at all, however it is spelled.
    for algorithm in ["none", "None", "NONE", ""] {
        for end in ["", signature] {
            let refused =
                refusal(&oidc, &forged(json!({"alg": algorithm, "typ": "JWT"}), &claims, end)).await;
            assert!(!refused.starts_with("let in"), "{algorithm}: {refused}");
        }
    }
    // Signed with what everybody knows: the public key as a shared secret, in all its forms.
    let public = provider.keys.lock().unwrap()[2].clone();
    let der = jsonwebtoken::DecodingKey::from_rsa_pem(RSA_PUBLIC).unwrap();
    let mut secrets = vec![RSA_PUBLIC.to_vec(), public.to_string().into_bytes(), b"secret".to_vec()];
    secrets.push(public["n"].as_str().unwrap().as_bytes().to_vec());
    secrets.extend(der.try_get_as_bytes().map(<[u8]>::to_vec));
    for secret in secrets {
        for id in ["r1", "e1", "shared"] {
            let mut header = Header::new(Algorithm::HS256);
            header.kid = Some(id.to_string());
            let token = jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(&secret)).unwrap();
            assert_eq!(refusal(&oidc, &token).await, "its algorithm is not accepted");
        }
    }
    // A right signature for other words, another's key, a key of another kind, and keys that come with the token.
    let changed =
        forged(json!({"alg": "RS256", "kid": "r1"}), &provider.claims(json!({"sub": "eve"})), signature);
    let others = sign(OTHER, Algorithm::RS256, "r1", &claims);
    let mixed = sign(RSA, Algorithm::RS256, "e1", &claims);
    let mut header = Header::new(Algorithm::RS256);
    header.kid = Some("r1".to_string());
    header.jwk = Some(Jwk::from_encoding_key(&key_of(OTHER, Algorithm::RS256), Algorithm::RS256).unwrap());
    header.jku = Some(format!("{}/keys", provider.issuer));
    let brought = jsonwebtoken::encode(&header, &claims, &key_of(OTHER, Algorithm::RS256)).unwrap();
    for token in [changed, others, mixed, brought] {
        assert_eq!(refusal(&oidc, &token).await, "no key of the provider has signed it");
    }
    let mut header = Header::new(Algorithm::RS256);
    header.crit = Some(vec!["exp".to_string()]);
    let critical = jsonwebtoken::encode(&header, &claims, &key_of(RSA, Algorithm::RS256)).unwrap();
    assert_eq!(refusal(&oidc, &critical).await, "it has critical extensions");
    let mut header = Header::new(Algorithm::RS256);
    header.typ = Some("logout+jwt".to_string());
    let logout = jsonwebtoken::encode(&header, &claims, &key_of(RSA, Algorithm::RS256)).unwrap();
    assert_eq!(refusal(&oidc, &logout).await, "it is another kind of token");
    for text in ["", ".", "..", "a.b.c", unsigned, &"eyJ".repeat(20_000), &right[..right.len() - 2]] {
        let refused = refusal(&oidc, text).await;
        assert!(!refused.starts_with("let in"), "{refused}");
    }
    assert!(oidc.verify(&right).await.is_ok());
}

#[tokio::test]
async fn tokens_for_others_and_of_other_times_are_refused() {
    let provider = Provider::start().await;
    let oidc = provider.oidc();
    let now = provider.clock.now().as_micros() / 1_000_000;
    for (changes, expected) in [
        (json!({"iss": "https://evil.example.org"}), "it is of another issuer"),
        (json!({"iss": [provider.issuer]}), "it is of another issuer"),
        (json!({"iss": format!("{}/", provider.issuer)}), "it is of another issuer"),
        (json!({"iss": null}), "it is of another issuer"),
        (json!({"aud": "lagun"}), "it is for another audience"),
        (json!({"aud": ["x"]}), "it is for another audience"),
        (json!({"aud": null}), "it is for another audience"),
        (json!({"exp": now - 31}), "expired"),
        (json!({"exp": 0}), "expired"),
        (json!({"exp": null}), "it does not say when it expires"),
        (json!({"exp": "2099-01-01"}), "it does not say when it expires"),
        (json!({"exp": 1e300}), "it does not say when it expires"),
        (json!({"exp": -1}), "it does not say when it expires"),
        (json!({"nbf": now + 31}), "it is not valid yet"),
        (json!({"nbf": "now"}), "its `nbf` is no time"),
        (json!({"sub": null}), "it names nobody"),
        (json!({"sub": ""}), "it names nobody"),
        (json!({"sub": "a\nb"}), "it names nobody"),
        // The library reads no token whose `sub` is a list, whoever has signed it.
        (json!({"sub": ["ana"]}), "no key of the provider has signed it"),
    ] {
        assert_eq!(refusal(&oidc, &provider.token(changes.clone())).await, expected, "{changes}");
    }
    // The clocks of two machines are never the same.
    assert!(oidc.verify(&provider.token(json!({"exp": now - 29, "nbf": null}))).await.is_ok());
    assert!(oidc.verify(&provider.token(json!({"nbf": now + 29}))).await.is_ok());
}

#[tokio::test]
async fn keys_are_fetched_when_they_change_and_unknown_ones_cost_the_provider_nothing() {
    let provider = Provider::start().await;
    let oidc = provider.oidc();
    assert!(oidc.verify(&provider.token(json!({}))).await.is_ok());
    let claims = provider.claims(json!({}));
    let flood = (0..200).map(|number| {
        let id = ["../../r1", "r1/../r1", "' OR 1=1 --", "file:///dev/null", "r1\0", "R1", ""][number % 7];
        let token = sign(OTHER, Algorithm::RS256, &format!("{id}{}", number / 7), &claims);
        let oidc = &oidc;
        async move { refusal(oidc, &token).await }
    });
    for refused in futures::future::join_all(flood).await {
        assert_eq!(refused, "no key of the provider has signed it");
    }
    assert_eq!(provider.asked.load(Ordering::SeqCst), 1);
    // The provider changes its key: the new one is accepted after the pause, the old one no more.
    *provider.keys.lock().unwrap() = vec![jwk(OTHER, Algorithm::RS256, "r2")];
    let next = sign(OTHER, Algorithm::RS256, "r2", &claims);
    assert_eq!(refusal(&oidc, &next).await, "no key of the provider has signed it");
    provider.pass(31);
    assert!(oidc.verify(&next).await.is_ok());
    assert_eq!(provider.asked.load(Ordering::SeqCst), 2);
    assert_eq!(refusal(&oidc, &provider.token(json!({}))).await, "no key of the provider has signed it");
}

#[tokio::test]
async fn callers_have_the_role_of_their_groups_and_are_remembered_until_the_token_expires() {
    let provider = Provider::start().await;
    let open = |settings: &OidcSettings| {
        Identities::open(&BTreeMap::new(), Some(settings), &BTreeMap::new(), provider.clock.clone())
    };
    let identities = open(&provider.settings()).unwrap();
    assert!(identities.anonymous().is_none());
    let token = provider.token(json!({}));
    for _ in 0..3 {
        let caller = identities.token(&token, HERE).await.unwrap();
        assert_eq!((caller.user.as_str(), caller.role.as_str()), ("ana", "admin"));
    }
    let caller = identities.password(super::super::TOKEN, &token, HERE).await.unwrap();
    assert_eq!(caller.user, "ana");
    let error = identities.token(&provider.token(json!({"realm_access": {"roles": ["x"]}})), HERE).await;
    assert!(error.unwrap_err().to_string().contains("no group that has a role"));
    // A token that has expired is no guess: it makes nobody wait.
    provider.pass(700);
    for _ in 0..20 {
        let error = identities.token(&token, HERE).await.unwrap_err();
        assert_eq!(error.code(), "28P01");
    }
    assert!(identities.token(&provider.token(json!({})), HERE).await.is_ok());
    for _ in 0..6 {
        let forged = sign(OTHER, Algorithm::RS256, "r1", &provider.claims(json!({})));
        assert_eq!(identities.token(&forged, HERE).await.unwrap_err().code(), "28P01");
    }
    let error = identities.token(&provider.token(json!({"sub": "bo"})), HERE).await.unwrap_err();
    assert_eq!(error.kind(), laguna_base::ErrorKind::Exhausted);

    let mut settings = provider.settings();
    settings.groups.push(("c".to_string(), "nothing".to_string()));
    assert!(open(&settings).unwrap_err().to_string().contains("the group `c` has the role `nothing`"));
    for (issuer, jwks) in [
        ("http://accounts.example.org", None),
        ("ftp://127.0.0.1", None),
        ("accounts", None),
        ("https://accounts.example.org", Some("http://10.0.0.1/keys")),
    ] {
        let jwks = jwks.map(str::to_string);
        let settings = OidcSettings { issuer: issuer.to_string(), jwks, ..provider.settings() };
        assert!(open(&settings).is_err(), "{issuer}");
    }
}

#[tokio::test]
async fn a_provider_that_does_not_answer_is_no_wrong_password() {
    let provider = Provider::start().await;
    let settings =
        OidcSettings { issuer: provider.issuer.replace("realm", "nowhere"), ..provider.settings() };
    let identities =
        Identities::open(&BTreeMap::new(), Some(&settings), &BTreeMap::new(), provider.clock.clone());
    let identities = identities.unwrap();
    for _ in 0..20 {
        let error = identities.token(&provider.token(json!({})), HERE).await.unwrap_err();
        assert_eq!(error.kind(), laguna_base::ErrorKind::Storage, "{error}");
    }
}
