//! Logins as the doors see them.

use std::net::Ipv4Addr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use laguna_base::ErrorKind;
use laguna_base::clock::FixedClock;

use super::*;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 7));

fn user(password: Option<&str>, token: Option<&str>) -> UserSettings {
    UserSettings {
        role: ADMIN.to_string(),
        password: password.map(str::to_string),
        token: token.map(str::to_string),
    }
}

fn users(all: &[(&str, Option<&str>, Option<&str>)]) -> BTreeMap<String, UserSettings> {
    all.iter().map(|(name, password, token)| (name.to_string(), user(*password, *token))).collect()
}

fn clock() -> Arc<FixedClock> {
    Arc::new(FixedClock::new("2026-11-22".parse().unwrap()))
}

fn identities(all: &[(&str, Option<&str>, Option<&str>)]) -> (Identities, Arc<FixedClock>) {
    let clock = clock();
    let identities = Identities::open(&users(all), None, &BTreeMap::new(), clock.clone()).unwrap();
    (identities, clock)
}

fn name(outcome: Result<Arc<Caller>>) -> String {
    outcome.map_or_else(|error| format!("{} {}", error.kind().as_str(), error.code()), |c| c.user.clone())
}

#[tokio::test]
async fn passwords_and_tokens_are_accepted_plain_or_as_hashes() {
    let (password, token) = (hash_secret("pass word").unwrap(), hash_secret("t0ken").unwrap());
    assert!(password.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{password}");
    assert_ne!(password, hash_secret("pass word").unwrap());
    let (identities, _) = identities(&[
        ("ana", Some("secret"), Some("token of ana")),
        ("bo", Some(&password), None),
        ("cy", None, Some(&token)),
        ("di", None, Some("token of di")),
    ]);
    for (who, secret) in [("ana", "secret"), ("bo", "pass word"), ("cy", "t0ken"), ("di", "token of di")] {
        // The second time it is remembered.
        for _ in 0..2 {
            assert_eq!(name(identities.password(who, secret, HERE).await), who);
        }
        let basic = format!("basic {}", STANDARD.encode(format!("{who}:{secret}")));
        assert_eq!(name(identities.authorization(Some(&basic), HERE).await), who);
    }
    for (who, token) in [("ana", "token of ana"), ("cy", "t0ken"), ("di", "token of di")] {
        let bearer = format!("Bearer {token}");
        assert_eq!(name(identities.authorization(Some(&bearer), HERE).await), who);
        assert_eq!(name(identities.password(TOKEN, token, HERE).await), who);
    }
    let wrong = [
        ("ana", "secret "),
        ("ana", "token of ana"),
        ("ana", ""),
        ("bo", "secret"),
        ("bo", &password),
        ("cy", &token),
        ("eve", "secret"),
        ("", ""),
    ];
    for (number, (who, secret)) in wrong.into_iter().enumerate() {
        let from = IpAddr::V4(Ipv4Addr::from_bits(number as u32));
        assert_eq!(name(identities.password(who, secret, from).await), "denied 28P01", "{who} {secret}");
    }
    let long = "x".repeat(1 << 20);
    for header in [
        None,
        Some("Bearer"),
        Some("Bearer secret"),
        Some("Basic %%%"),
        Some("Digest x"),
        Some(long.as_str()),
    ] {
        let refused = name(identities.authorization(header, THERE).await);
        assert!(refused.starts_with("denied 28"), "{header:?}: {refused}");
    }
    assert_eq!(name(identities.password("ana", &long, THERE).await), "denied 28P01");
}

#[tokio::test]
async fn without_users_everybody_is_anonymous() {
    let identities = Identities::new(&BTreeMap::new(), &BTreeMap::new()).unwrap();
    assert_eq!(name(identities.password("x", "y", HERE).await), "anonymous");
    assert_eq!(name(identities.authorization(None, HERE).await), "anonymous");
    assert_eq!(name(identities.proven("x", false, HERE)), "anonymous");
}

#[test]
fn settings_that_let_nobody_in_or_anybody_are_refused() {
    let refused = |all: &[(&str, Option<&str>, Option<&str>)]| {
        let error = Identities::new(&users(all), &BTreeMap::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Project);
        error.to_string()
    };
    assert!(refused(&[("ana", None, None)]).contains("`ana` has neither password nor token"));
    assert!(refused(&[("ana", Some(""), None)]).contains("the user `ana`"));
    assert!(refused(&[("token", Some("x"), None)]).contains("no user can be named `token`"));
    for hash in [
        "$argon2id$v=19$m=19456,t=2,p=1$",
        "$argon2i$v=19$m=19456,t=2,p=1$bm90aGluZ2F0YWxs$BoqM7VFRRBWlZPZKLTcLGuSmeYvlSBsUUCtKVN6gZPc",
        "$argon2id$v=19$m=4294967295,t=2,p=1$bm90aGluZ2F0YWxs$BoqM7VFRRBWlZPZKLTcLGuSmeYvlSBsUUCtKVN6gZPc",
        "$argon2id$v=19$m=19456,t=2,p=1$bm90aGluZ2F0YWxs$BoqM7VFRRBWlZPZK",
    ] {
        assert!(refused(&[("ana", Some(hash), None)]).contains("an Argon2 hash cannot be used"), "{hash}");
    }
    let mut settings = users(&[("ana", Some("x"), None)]);
    settings.get_mut("ana").unwrap().role = "analist".to_string();
    let error = Identities::new(&settings, &BTreeMap::new()).unwrap_err();
    assert!(error.to_string().contains("`ana` has the role `analist`, which there is not"), "{error}");
}

#[tokio::test]
async fn plain_text_is_kept_no_longer_than_it_is_needed() {
    let (identities, _) = identities(&[("ana", Some("secret"), Some("token of ana"))]);
    let state = identities.state();
    let secrets: Vec<_> = state.users.values().map(|user| &user.secret).chain(state.tokens.iter()).collect();
    for secret in secrets {
        secret.hash();
        secret.scram();
        assert!(secret.is_forgotten());
    }
    assert!(!format!("{identities:?} {:?}", identities.scram("ana")).contains("secret"));
    assert_eq!(name(identities.password("ana", "secret", HERE).await), "ana");
}

#[tokio::test]
async fn who_guesses_waits_and_who_knows_from_elsewhere_does_not() {
    let (identities, clock) = identities(&[("ana", Some("secret"), None), ("bo", Some("other"), None)]);
    for _ in 0..6 {
        assert_eq!(name(identities.password("ana", "guess", THERE).await), "denied 28P01");
    }
    // Even the right password is not told to be right.
    let error = identities.password("ana", "secret", THERE).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Exhausted, "28P01"));
    assert_eq!(error.hint_text(), Some("try again in 1 s"));
    assert_eq!(name(identities.proven("ana", true, THERE)), "exhausted 28P01");
    assert_eq!(name(identities.password("ana", "secret", HERE).await), "ana");
    // Nor is it when it is remembered.
    assert_eq!(name(identities.password("ana", "secret", THERE).await), "exhausted 28P01");
    assert_eq!(name(identities.password("bo", "other", THERE).await), "bo");
    clock.set(clock.now().plus_micros(1_000_000));
    assert_eq!(name(identities.password("ana", "secret", THERE).await), "ana");
}

#[tokio::test]
async fn guesses_side_by_side_are_throttled_as_guesses_in_turn() {
    let (identities, _) = identities(&[("ana", Some("secret"), None)]);
    let guesses = (0..40).map(|number| {
        let identities = identities.clone();
        async move {
            let password = if number == 39 { "secret".to_string() } else { format!("guess{number}") };
            name(identities.password("ana", &password, THERE).await)
        }
    });
    let outcomes = futures::future::join_all(guesses).await;
    let denied = outcomes.iter().filter(|outcome| *outcome == "denied 28P01").count();
    assert!(denied <= 6, "{outcomes:?}");
    assert!(!outcomes.contains(&"ana".to_string()) || denied < 6, "{outcomes:?}");
}

#[tokio::test]
async fn names_cannot_be_told_apart_by_scram() {
    let (identities, _) =
        identities(&[("ana", Some("secret"), None), ("bo", Some(&hash_secret("x").unwrap()), None)]);
    let ana = identities.scram("ana").unwrap();
    let expected = pgwire::api::auth::sasl::scram::gen_salted_password("secret", &ana.salt, ana.iterations);
    assert_eq!(ana.salted_password, expected);
    let eve = identities.scram("eve").unwrap();
    assert_eq!((eve.salt.len(), eve.iterations), (ana.salt.len(), ana.iterations));
    assert_eq!(eve.salt, identities.scram("eve").unwrap().salt);
    assert_eq!(ana.salt, identities.scram("ana").unwrap().salt);
    assert_ne!(eve.salt, identities.scram("eva").unwrap().salt);
    assert!(identities.scram("bo").is_none() && identities.scram(TOKEN).is_none());
    let (only_hashes, _) = self::identities(&[("bo", Some(&hash_secret("x").unwrap()), None)]);
    assert!(only_hashes.scram("bo").is_none() && only_hashes.scram("eve").is_none());
    assert_eq!(name(identities.proven("ana", true, HERE)), "ana");
    assert_eq!(name(identities.proven("ana", false, HERE)), "denied 28P01");
    assert_eq!(name(identities.proven("eve", true, HERE)), "denied 28P01");
}

#[tokio::test]
async fn refusals_are_recorded_with_name_and_door_and_without_secrets() {
    let (identities, _) = identities(&[("ana", Some("secret"), None)]);
    let (sender, mut records) = mpsc::unbounded_channel();
    let metrics = Metrics::default();
    let door = identities.recorded(metrics.clone(), Some(sender)).at("postgres");
    for _ in 0..10 {
        let _ = door.password("ana", "guess", HERE).await;
    }
    drop(door);
    let mut all = Vec::new();
    while let Some(record) = records.recv().await {
        assert_eq!((record.user.as_str(), record.door, record.outcome), ("ana", "postgres", "denied"));
        assert!(!format!("{record:?}").contains("guess"));
        all.push(record);
    }
    // Who has to wait is counted only.
    assert_eq!(all.len(), 6);
    assert!(
        metrics.text().contains("laguna_logins_refused_total{door=\"postgres\"} 10"),
        "{}",
        metrics.text()
    );
}
