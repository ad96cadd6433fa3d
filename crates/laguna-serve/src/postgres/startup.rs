//! From the first byte to the first ReadyForQuery: TLS, who is there, and what the client wants of its session.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes};
use laguna_base::{Error, Result};
use pgwire::api::auth::Password;
use pgwire::api::auth::sasl::scram::{ScramServerAuth, random_nonce};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::connection::Connection;
use super::message::{self, Body, broken, put_text, write};
use super::variables::Variables;
use super::wire::{LARGE, Wire};
use super::{Shared, lost};
use crate::Caller;

const SSL: u32 = 80_877_103;
const GSS: u32 = 80_877_104;
const CANCEL: u32 = 80_877_102;
/// SCRAM bound to the server's certificate (RFC 5929, `tls-server-end-point`), and without.
const BOUND: &str = "SCRAM-SHA-256-PLUS";
const UNBOUND: &str = "SCRAM-SHA-256";
/// How long a stranger may take to log in.
const PATIENCE: Duration = Duration::from_secs(30);

/// Serves one connection from its first byte to its last.
pub(super) async fn run(shared: &Arc<Shared>, stream: TcpStream, from: SocketAddr) -> Result<()> {
    let entered = tokio::select! {
        entered = tokio::time::timeout(PATIENCE, enter(shared, stream, from.ip())) => entered,
        () = shared.stop.cancelled() => return Ok(()),
    };
    match entered {
        Ok(Ok(Some(connection))) => connection.serve().await,
        Ok(Ok(None)) => Ok(()),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(Error::denied("the login took too long")),
    }
}

async fn enter(shared: &Arc<Shared>, stream: TcpStream, from: IpAddr) -> Result<Option<Connection>> {
    let mut secure = false;
    let mut wire;
    // Direct TLS begins with a handshake record, which no message of the protocol does.
    let mut byte = [0u8; 1];
    let direct = stream.peek(&mut byte).await.map_err(lost)? == 1 && byte[0] == 0x16;
    let tls = shared.core.tls.as_ref().map(|tls| TlsAcceptor::from(tls.config.clone()));
    let mut stream = Some(stream);
    if direct {
        let (Some(tls), Some(stream)) = (&tls, stream.take()) else { return Ok(None) };
        wire = Wire::new(Box::new(tls.accept(stream).await.map_err(lost)?));
        secure = true;
    } else {
        let Some(plain) = stream.take() else { return Ok(None) };
        match negotiate(plain, tls).await? {
            Some((negotiated, is_secure)) => (wire, secure) = (negotiated, is_secure || secure),
            None => return Ok(None),
        }
    }
    let first = match wire.first().await.map_err(lost)? {
        Some(first) => first,
        None => return Ok(None),
    };
    let mut body = Body(first);
    match body.u32()? {
        CANCEL => {
            let (pid, key) = (body.u32()? as i32, body.u32()?);
            shared.cancel(pid, key);
            Ok(None)
        }
        version => {
            let outcome = begin(shared, &mut wire, version, body, from, secure).await;
            match outcome {
                Ok((caller, variables)) => ready(shared, wire, caller, variables).await.map(Some),
                Err(error) => {
                    message::error(&mut wire.out, "FATAL", &error, None);
                    let _ = wire.flush().await;
                    Err(error)
                }
            }
        }
    }
}

/// Answers requests for encryption until something else comes, which stays to be read.
async fn negotiate(mut stream: TcpStream, tls: Option<TlsAcceptor>) -> Result<Option<(Wire, bool)>> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    for _ in 0..4 {
        let mut head = [0u8; 8];
        // Looks before it reads: the first message of the session belongs to the session.
        loop {
            let seen = stream.peek(&mut head).await.map_err(lost)?;
            if seen == 0 {
                return Ok(None);
            }
            if seen == 8 {
                break;
            }
            stream.readable().await.map_err(lost)?;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let code = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
        if length != 8 || !matches!(code, SSL | GSS) {
            return Ok(Some((Wire::new(Box::new(stream)), false)));
        }
        stream.read_exact(&mut head).await.map_err(lost)?;
        match (code, &tls) {
            (SSL, Some(tls)) => {
                stream.write_all(b"S").await.map_err(lost)?;
                let stream = tls.accept(stream).await.map_err(lost)?;
                return Ok(Some((Wire::new(Box::new(stream)), true)));
            }
            _ => stream.write_all(b"N").await.map_err(lost)?,
        }
    }
    Err(broken("too many requests for encryption"))
}

/// Who is there, and with which variables.
async fn begin(
    shared: &Arc<Shared>,
    wire: &mut Wire,
    version: u32,
    mut body: Body,
    from: IpAddr,
    secure: bool,
) -> Result<(Arc<Caller>, Variables)> {
    if version >> 16 != 3 {
        return Err(Error::project("only version 3 of the protocol is spoken here").sqlstate("08P01"));
    }
    let mut parameters = BTreeMap::new();
    loop {
        let name = body.text()?;
        if name.is_empty() {
            break;
        }
        parameters.insert(name, body.text()?);
    }
    let unknown: Vec<&String> = parameters.keys().filter(|name| name.starts_with("_pq_.")).collect();
    if version & 0xffff != 0 || !unknown.is_empty() {
        write(&mut wire.out, b'v', |out| {
            out.put_u32(3 << 16);
            out.put_u32(unknown.len() as u32);
            unknown.iter().for_each(|name| put_text(out, name));
        });
    }
    let user = parameters.get("user").cloned().unwrap_or_default();
    let caller = authenticate(shared, wire, &user, from, secure).await?;
    let mut variables = Variables::new(&caller.user);
    for (name, value) in &parameters {
        match name.as_str() {
            "user" | "database" | "replication" => {}
            name if name.starts_with("_pq_.") => {}
            "options" => options(&mut variables, value)?,
            // What is not known here changes nothing that the client could rely on.
            name => drop(variables.set(name, value).or_else(|error| match error.code() {
                "42704" => Ok(None),
                _ => Err(error),
            })?),
        }
    }
    variables.begin();
    Ok((caller, variables))
}

/// `-c name=value` and `--name=value`.
fn options(variables: &mut Variables, text: &str) -> Result<()> {
    let text = text.replace("\\ ", "\u{1}");
    let mut words = text.split_whitespace();
    while let Some(word) = words.next() {
        let setting =
            match word.strip_prefix("--").or_else(|| word.strip_prefix("-c").filter(|s| !s.is_empty())) {
                Some(setting) => setting,
                None if word == "-c" => words.next().unwrap_or_default(),
                None => continue,
            };
        if let Some((name, value)) = setting.split_once('=') {
            variables.set(&name.replace('-', "_"), &value.replace('\u{1}', " "))?;
        }
    }
    Ok(())
}

async fn authenticate(
    shared: &Arc<Shared>,
    wire: &mut Wire,
    user: &str,
    from: IpAddr,
    secure: bool,
) -> Result<Arc<Caller>> {
    let identities = &shared.core.identities;
    if let Some(anonymous) = identities.anonymous() {
        return Ok(anonymous);
    }
    if let Some(verifier) = identities.scram(user) {
        let mut scram = ScramServerAuth::new();
        scram.set_iterations(verifier.iterations);
        // A login is bound to the certificate, unless that is signed in a way that has no binding.
        let certificate = shared.core.tls.as_ref().filter(|_| secure).map(|tls| &tls.certificate);
        let binds = certificate.is_some_and(|pem| scram.configure_certificate(pem).is_ok());
        write(&mut wire.out, b'R', |out| {
            out.put_u32(10);
            if binds {
                put_text(out, BOUND);
            }
            put_text(out, UNBOUND);
            out.put_u8(0);
        });
        let mut body = Body(answer(wire).await?);
        let method = body.text()?;
        let first = body.value()?.ok_or_else(|| broken("SCRAM without a first message"))?;
        match (method.as_str(), first.first()) {
            (BOUND, Some(b'p')) if binds => {}
            (UNBOUND, Some(b'n')) => {}
            (UNBOUND, Some(b'y')) if !binds => {}
            // The client could bind, but did not hear that it was offered: somebody is in between.
            (UNBOUND, Some(b'y')) => {
                identities.tell(user, "the offer of a bound login was kept from the client");
                return Err(
                    Error::denied("the offered methods of authentication did not arrive").sqlstate("28000")
                );
            }
            _ => return Err(Error::denied("the method of authentication is not offered").sqlstate("28000")),
        }
        let password = Password::new(Some(verifier.salt), verifier.salted_password);
        let wrong = |error: pgwire::error::PgWireError| {
            Error::denied("the SCRAM exchange is broken").sqlstate("28000").caused_by(error)
        };
        let (challenge, waiting) = scram.on_client_first_message(&first, password).map_err(wrong)?;
        exchange(wire, 11, challenge.as_bytes());
        let last = answer(wire).await?;
        let outcome = waiting.on_client_final_message(&last);
        let caller = identities.proven(user, outcome.is_ok(), from)?;
        exchange(wire, 12, outcome.map_err(wrong)?.as_bytes());
        return Ok(caller);
    }
    if !secure && !from.is_loopback() {
        identities.tell(user, "the login needs TLS");
        return Err(Error::denied("this user can only log in over TLS")
            .sqlstate("28000")
            .hint("set `serve: {tls: …}` and connect with sslmode=require"));
    }
    write(&mut wire.out, b'R', |out| out.put_u32(3));
    let secret = Body(answer(wire).await?).text()?;
    identities.password(user, &secret, from).await
}

fn exchange(wire: &mut Wire, step: u32, data: &[u8]) {
    write(&mut wire.out, b'R', |out| {
        out.put_u32(step);
        out.put_slice(data);
    });
}

/// What the client says to the last request.
async fn answer(wire: &mut Wire) -> Result<Bytes> {
    wire.flush().await.map_err(lost)?;
    match wire.next().await.map_err(lost)? {
        Some((b'p', body)) => Ok(body),
        Some(_) => Err(broken("a password was expected")),
        None => Err(lost(std::io::ErrorKind::UnexpectedEof.into())),
    }
}

/// Tells the client that it is in.
async fn ready(
    shared: &Arc<Shared>,
    mut wire: Wire,
    caller: Arc<Caller>,
    variables: Variables,
) -> Result<Connection> {
    let nonce = random_nonce();
    let key = nonce.bytes().fold(0u32, |key, byte| key.rotate_left(5).wrapping_mul(31) ^ u32::from(byte));
    let (pid, ended) = shared.enter(key, &caller.user);
    write(&mut wire.out, b'R', |out| out.put_u32(0));
    for (name, value, told) in variables.all() {
        if told {
            write(&mut wire.out, b'S', |out| {
                put_text(out, name);
                put_text(out, &value);
            });
        }
    }
    write(&mut wire.out, b'K', |out| {
        out.put_i32(pid);
        out.put_u32(key);
    });
    wire.limit = LARGE;
    Ok(Connection::new(shared.clone(), wire, caller, variables, pid, ended))
}
