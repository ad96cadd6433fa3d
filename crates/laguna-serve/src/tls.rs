//! Certificate and key of all doors.

use std::path::Path;
use std::sync::Arc;

use laguna_base::{Error, Result};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// What the doors encrypt with.
#[derive(Debug, Clone)]
pub struct Tls {
    /// Certificate, key and versions; protocols of the application are left to the doors.
    pub config: Arc<ServerConfig>,
    /// The file of the certificate, in PEM form: logins are bound to it.
    pub certificate: Arc<[u8]>,
}

/// Reads PEM files.
pub(crate) fn load(cert: &Path, key: &Path) -> Result<Tls> {
    let wrong = |what: &str, path: &Path| {
        Error::project(format!("the {what} {} cannot be read", path.display()))
            .hint("`serve: {tls: {cert: …, key: …}}` names files in PEM form")
    };
    let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect)
        .map_err(|error| wrong("certificate", cert).caused_by(error))?;
    if certificates.is_empty() {
        return Err(wrong("certificate", cert));
    }
    let key_of =
        PrivateKeyDer::from_pem_file(key).map_err(|error| wrong("private key", key).caused_by(error))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(certificates, key_of))
        .map_err(|error| {
            Error::project("the certificate and the private key do not fit together").caused_by(error)
        })?;
    let certificate = std::fs::read(cert).map_err(|error| wrong("certificate", cert).caused_by(error))?;
    Ok(Tls { config: Arc::new(config), certificate: certificate.into() })
}
