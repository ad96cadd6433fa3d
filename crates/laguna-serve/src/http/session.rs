//! Browsers that have logged in: a cookie that names a login which this process remembers.
//!
//! The cookie holds chance, never a password; it is unreadable for scripts, is not sent from other sites, and ends with the
//! process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant as Stopwatch};

use axum::http::{HeaderMap, HeaderValue, header};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use laguna_base::{Error, Result};

use crate::Caller;

/// Name of the cookie.
pub const COOKIE: &str = "laguna_session";

/// How long a login is remembered.
const LIFE: Duration = Duration::from_secs(12 * 3600);

/// Logins at once; the oldest goes first.
const MOST: usize = 10_000;

/// Logins of browsers. Cheap to clone; every request carries it as an extension.
#[derive(Debug, Clone, Default)]
pub struct Sessions(Arc<Mutex<HashMap<String, Login>>>);

#[derive(Debug)]
struct Login {
    caller: Arc<Caller>,
    since: Stopwatch,
}

impl Sessions {
    /// Remembers a login and returns what the cookie holds.
    pub fn open(&self, caller: Arc<Caller>) -> Result<String> {
        let mut chance = [0; 32];
        rustls::crypto::aws_lc_rs::default_provider()
            .secure_random
            .fill(&mut chance)
            .map_err(|_| Error::internal("the system gives no random numbers"))?;
        let token = URL_SAFE_NO_PAD.encode(chance);
        let mut logins = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        logins.retain(|_, login| login.since.elapsed() < LIFE);
        if logins.len() >= MOST
            && let Some(oldest) =
                logins.iter().min_by_key(|(_, login)| login.since).map(|(key, _)| key.clone())
        {
            logins.remove(&oldest);
        }
        logins.insert(token.clone(), Login { caller, since: Stopwatch::now() });
        Ok(token)
    }

    /// Who has logged in with this cookie.
    pub fn caller(&self, token: &str) -> Option<Arc<Caller>> {
        let logins = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let login = logins.get(token).filter(|login| login.since.elapsed() < LIFE)?;
        Some(login.caller.clone())
    }

    /// Forgets a login.
    pub fn close(&self, token: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(token);
    }

    /// Forgets every login: users or roles have changed.
    pub fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// What the cookie of a request holds.
pub fn token(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}

/// The header that gives a browser its cookie; `None` takes it away. `tls`: it is never sent in the clear.
pub fn set_cookie(token: Option<&str>, tls: bool) -> Result<HeaderValue> {
    let secure = if tls { "; Secure" } else { "" };
    let life = token.map_or(0, |_| LIFE.as_secs());
    let token = token.unwrap_or_default();
    HeaderValue::try_from(format!(
        "{COOKIE}={token}; Path=/; HttpOnly; SameSite=Strict; Max-Age={life}{secure}"
    ))
    .map_err(|error| Error::internal("a cookie cannot be written").caused_by(error))
}
