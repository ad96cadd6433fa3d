//! `serve:` resolved: addresses, limits, TLS. Without users only this machine may come in.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::time::Duration;

use laguna_base::settings::serve::Door as DoorSetting;
use laguna_base::settings::{ServeSettings, parse_bytes, parse_duration};
use laguna_base::{Error, Result};

use crate::Tls;

/// What the server is started with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Address of each open door, by its name.
    pub doors: Vec<(&'static str, SocketAddr)>,
    /// Certificate and key.
    pub tls: Option<Tls>,
    /// Bytes that all statements together may hold before they spill.
    pub memory: Option<u64>,
    /// How long a statement may run.
    pub timeout: Duration,
    /// Statements at once.
    pub concurrency: usize,
    /// Rows that a statement may answer with.
    pub max_rows: Option<u64>,
    /// Bytes of results that are kept.
    pub cache: u64,
    /// How long running statements may go on when the server stops.
    pub grace: Duration,
}

impl Settings {
    /// Resolves the settings of the project in `dir`. `has_users`: somebody can log in, so others than this machine may try.
    pub fn resolve(dir: &Path, serve: &ServeSettings, has_users: bool) -> Result<Settings> {
        let mut doors = Vec::new();
        for (name, door) in [("postgres", &serve.postgres), ("flight", &serve.flight), ("http", &serve.http)]
        {
            let DoorSetting::At(text) = door else {
                match door {
                    DoorSetting::Open(false) => continue,
                    _ => {
                        return Err(Error::project(format!("`serve: {name}` is no address"))
                            .hint("write it as 127.0.0.1:8080, or false to close the door"));
                    }
                }
            };
            doors.push((name, address(name, text, has_users)?));
        }
        if doors.is_empty() {
            return Err(
                Error::project("every door is closed").hint("give one of them an address in `serve:`")
            );
        }
        let tls = match &serve.tls {
            Some(tls) => Some(crate::tls::load(&dir.join(&tls.cert), &dir.join(&tls.key))?),
            None => None,
        };
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let size = |key: &str, text: &str| {
            parse_bytes(text).ok_or_else(|| {
                Error::project(format!("`serve: {key}: {text}` is not a size"))
                    .hint("write it as 64MB or 4GB")
            })
        };
        let duration = |key: &str, text: &str| {
            parse_duration(text).ok_or_else(|| {
                Error::project(format!("`serve: {key}: {text}` is not a duration"))
                    .hint("write it as 60s or 5m")
            })
        };
        Ok(Settings {
            doors,
            tls,
            memory: serve.memory.as_deref().map(|text| size("memory", text)).transpose()?,
            timeout: duration("timeout", &serve.timeout)?,
            concurrency: serve.concurrency.unwrap_or(4 * cores).max(1),
            max_rows: serve.max_rows,
            cache: size("cache", &serve.cache)?,
            grace: duration("grace", &serve.grace)?,
        })
    }
}

fn address(name: &str, text: &str, has_users: bool) -> Result<SocketAddr> {
    let address = text.to_socket_addrs().ok().and_then(|mut all| all.next()).ok_or_else(|| {
        Error::project(format!("`serve: {name}: {text}` is no address"))
            .hint("write it as 127.0.0.1:8080 or [::1]:8080; port 0 picks a free one")
    })?;
    if !has_users && !address.ip().is_loopback() {
        return Err(Error::project(format!(
            "`serve: {name}: {text}` can be reached from other machines, and there are no users"
        ))
        .hint("anybody could read the lake: add `users:` and `roles:`, or listen on 127.0.0.1"));
    }
    Ok(address)
}
