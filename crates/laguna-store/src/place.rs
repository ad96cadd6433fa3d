//! Where a lake lies: from `lake:` and `storage:` to an object store rooted there.
//!
//! A cloud store takes its settings from the environment (as its own tools name them), from what the machine says of
//! itself (instance roles, managed identities), and first of all from `storage:`.

use std::collections::BTreeMap;
use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use laguna_base::settings::parse_duration;
use laguna_base::{Error, Result, suggest};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{BackoffConfig, ClientConfigKey, ObjectStore, RetryConfig};
use url::Url;

use crate::durable::DurableStore;

/// Where a lake lies.
#[derive(Debug)]
pub(crate) struct Place {
    /// Its root, with a trailing slash.
    pub url: Url,
    /// Paths in it are relative to the root.
    pub objects: Arc<dyn ObjectStore>,
    /// The folder, when it is one.
    pub folder: Option<PathBuf>,
}

/// How long one request and its retries go on before the store counts as not answering.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Options of `storage:` that are Laguna's own.
const OWN: [&str; 2] = ["lease_timeout", "retry_timeout"];

/// Options that people use; others of the store's client work too.
const S3: [&str; 9] = [
    "endpoint",
    "region",
    "access_key_id",
    "secret_access_key",
    "session_token",
    "virtual_hosted_style_request",
    "allow_http",
    "skip_signature",
    "server_side_encryption",
];
const GOOGLE: [&str; 5] =
    ["service_account", "service_account_key", "application_credentials", "base_url", "skip_signature"];
const AZURE: [&str; 9] = [
    "account_name",
    "account_key",
    "sas_token",
    "client_id",
    "client_secret",
    "tenant_id",
    "endpoint",
    "use_emulator",
    "allow_http",
];

/// Finds the place that `root` names: an absolute path, or a URL of the schemes `file`, `s3`, `gs`, `az` (and their
/// other spellings `s3a`, `gcs`, `abfs`, `abfss`, `azure`).
pub(crate) fn find(root: &str, options: &BTreeMap<String, String>) -> Result<Place> {
    let Some((scheme, _)) = root.split_once("://") else {
        return match FsPath::new(root).is_absolute() {
            true => folder(FsPath::new(root), options),
            false => Err(Error::project(format!("the lake `{root}` is not an absolute path"))),
        };
    };
    let wrong = |why: &str| Error::project(format!("`{root}` is not the URL of a lake: {why}"));
    let url = Url::parse(root).map_err(|error| wrong("it cannot be read").caused_by(error))?;
    if scheme == "file" {
        let path = url.to_file_path().map_err(|()| wrong("write file:///data/lake"))?;
        return folder(&path, options);
    }
    let bucket = match url.host_str() {
        Some(host) if !host.is_empty() => host,
        _ => return Err(wrong("it names no bucket").hint(format!("write {scheme}://bucket/folder"))),
    };
    let retry = retry(options)?;
    let failed = |error: object_store::Error| {
        Error::project(format!("the store of {root} cannot be set up"))
            .hint("look at `storage:` and at the credentials in the environment")
            .caused_by(error)
    };
    let mut path = url.path().trim_matches('/').to_string();
    let patience = format!("{}s", PATIENCE.as_secs());
    let bare: Arc<dyn ObjectStore> = match scheme {
        "s3" | "s3a" => {
            let mut builder = AmazonS3Builder::from_env()
                .with_bucket_name(bucket)
                .with_config(AmazonS3ConfigKey::Client(ClientConfigKey::Timeout), patience)
                .with_conditional_put(S3ConditionalPut::ETagMatch)
                .with_retry(retry);
            for (key, value) in given(options, &S3, |key| key.parse::<AmazonS3ConfigKey>().ok())? {
                builder = builder.with_config(key, value);
            }
            let endpoint = builder.get_config_value(&AmazonS3ConfigKey::Endpoint);
            if is_plain(endpoint.as_deref()) {
                builder = builder.with_allow_http(true);
            }
            Arc::new(builder.build().map_err(failed)?)
        }
        "gs" | "gcs" => {
            let mut builder = GoogleCloudStorageBuilder::from_env()
                .with_bucket_name(bucket)
                .with_config(GoogleConfigKey::Client(ClientConfigKey::Timeout), patience)
                .with_retry(retry);
            for (key, value) in given(options, &GOOGLE, |key| key.parse::<GoogleConfigKey>().ok())? {
                builder = builder.with_config(key, value);
            }
            let endpoint = builder.get_config_value(&GoogleConfigKey::BaseUrl);
            if is_plain(endpoint.as_deref()) {
                builder = builder.with_config(GoogleConfigKey::Client(ClientConfigKey::AllowHttp), "true");
            }
            Arc::new(builder.build().map_err(failed)?)
        }
        "az" | "azure" | "abfs" | "abfss" => {
            let mut builder = MicrosoftAzureBuilder::from_env()
                .with_config(AzureConfigKey::Client(ClientConfigKey::Timeout), patience)
                .with_retry(retry);
            // abfss://container@account.dfs.core.windows.net/folder names the account too.
            builder = match url.username() {
                "" => builder.with_container_name(bucket),
                container => builder
                    .with_container_name(container)
                    .with_account(bucket.split('.').next().unwrap_or(bucket)),
            };
            for (key, value) in given(options, &AZURE, |key| key.parse::<AzureConfigKey>().ok())? {
                builder = builder.with_config(key, value);
            }
            let endpoint = builder.get_config_value(&AzureConfigKey::Endpoint);
            if is_plain(endpoint.as_deref()) {
                builder = builder.with_allow_http(true);
            }
            Arc::new(builder.build().map_err(failed)?)
        }
        other => {
            return Err(Error::project(format!("lakes on {other}:// are not known")).hint(
                "one of file:///folder, s3://bucket/folder, gs://bucket/folder, az://container/folder",
            ));
        }
    };
    let prefix = Path::from_url_path(&path).map_err(|error| wrong("its folder").caused_by(error))?;
    if !path.is_empty() {
        path.push('/');
    }
    let mut url = url.clone();
    url.set_path(&path);
    let objects: Arc<dyn ObjectStore> = match prefix.as_ref().is_empty() {
        true => bare,
        false => Arc::new(PrefixStore::new(bare, prefix)),
    };
    Ok(Place { url, objects, folder: None })
}

fn folder(path: &FsPath, options: &BTreeMap<String, String>) -> Result<Place> {
    if let Some(option) = options.keys().next() {
        tracing::debug!(option, "a lake in a folder has no storage options: ignored");
    }
    let path = resolve(path);
    if path.exists() && !path.is_dir() {
        return Err(
            Error::project(format!("the lake {} is a file", path.display())).hint("`lake:` names a folder")
        );
    }
    let unusable = || Error::project(format!("{} cannot be the root of a lake", path.display()));
    let url = Url::from_directory_path(&path).map_err(|()| unusable().hint("write an absolute path"))?;
    let objects = DurableStore::new(&path).map_err(|error| unusable().caused_by(error))?;
    Ok(Place { url, objects: Arc::new(objects), folder: Some(path) })
}

/// The options that the store's client knows; another one is an error that names the nearest.
fn given<'a, K>(
    options: &'a BTreeMap<String, String>,
    common: &[&str],
    parse: impl Fn(&str) -> Option<K>,
) -> Result<Vec<(K, &'a str)>> {
    let mut known = Vec::new();
    for (name, value) in options.iter().filter(|(name, _)| !OWN.contains(&name.as_str())) {
        match parse(&name.to_lowercase()) {
            Some(key) => known.push((key, value.as_str())),
            None => {
                let all: Vec<&str> = common.iter().chain(&OWN).copied().collect();
                return Err(Error::project(format!("`storage:` has no option `{name}`"))
                    .hint(suggest::hint(name, &all)));
            }
        }
    }
    Ok(known)
}

/// Retries of requests that may be repeated: with jitter, longer each time, as the store's throttling asks.
fn retry(options: &BTreeMap<String, String>) -> Result<RetryConfig> {
    let backoff = BackoffConfig {
        init_backoff: Duration::from_millis(100),
        max_backoff: Duration::from_secs(10),
        base: 2.0,
    };
    Ok(RetryConfig { backoff, max_retries: 12, retry_timeout: retry_timeout(options)? })
}

/// How long a store that does not answer is asked again.
pub(crate) fn retry_timeout(options: &BTreeMap<String, String>) -> Result<Duration> {
    Ok(duration(options, "retry_timeout")?.unwrap_or(PATIENCE))
}

/// After how long a silent holder's lease can be taken over, where `storage:` says so.
pub(crate) fn lease_timeout(options: &BTreeMap<String, String>) -> Result<Option<Duration>> {
    duration(options, "lease_timeout")
}

fn duration(options: &BTreeMap<String, String>, name: &str) -> Result<Option<Duration>> {
    let Some(text) = options.get(name) else { return Ok(None) };
    match parse_duration(text) {
        Some(duration) => Ok(Some(duration)),
        None => Err(Error::project(format!("`{name}: {text}` is not a duration")).hint("write 60s, or 2m")),
    }
}

/// Whether an endpoint is reached without TLS, which who names it so has asked for.
fn is_plain(endpoint: Option<&str>) -> bool {
    endpoint.is_some_and(|endpoint| endpoint.starts_with("http://"))
}

/// `path` without symbolic links and `..`, as far as it exists.
fn resolve(path: &FsPath) -> PathBuf {
    let mut missing = Vec::new();
    let mut existing = path;
    loop {
        if let Ok(real) = existing.canonicalize() {
            return missing.into_iter().rev().fold(real, |path, part| path.join(part));
        }
        match (existing.parent(), existing.file_name()) {
            (Some(parent), Some(name)) => {
                missing.push(name);
                existing = parent;
            }
            _ => return path.to_path_buf(),
        }
    }
}
