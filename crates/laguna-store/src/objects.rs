//! Small JSON objects below `_laguna/`: read, put, and put if absent.

use bytes::Bytes;
use laguna_base::{Error, Result};
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutMode, PutPayload};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Lake;

/// The bytes of an object; `None` when it does not exist.
pub(crate) async fn get(lake: &Lake, path: &Path) -> Result<Option<Bytes>> {
    let read = async { lake.objects().get(path).await?.bytes().await };
    match read.await {
        Ok(bytes) => Ok(Some(bytes)),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(lake.read_error(path.as_ref(), error)),
    }
}

/// A JSON object; `None` when it does not exist. Damage is [`laguna_base::ErrorKind::Stored`].
pub(crate) async fn get_json<T: DeserializeOwned>(lake: &Lake, path: &Path) -> Result<Option<T>> {
    let Some(bytes) = get(lake, path).await? else { return Ok(None) };
    match serde_json::from_slice(&bytes) {
        Ok(value) => Ok(Some(value)),
        Err(error) => Err(Error::stored(format!("{path} cannot be understood")).caused_by(error)),
    }
}

/// Writes or overwrites a JSON object.
pub(crate) async fn put_json<T: Serialize>(lake: &Lake, path: &Path, value: &T) -> Result<()> {
    let payload = encode(path, value)?;
    match lake.objects().put(path, payload).await {
        Ok(_) => Ok(()),
        Err(error) => Err(lake.write_error(path.as_ref(), error)),
    }
}

/// Writes a JSON object, unlike what any other writer writes, that must not exist. `Ok(false)`: there is another.
pub(crate) async fn put_json_if_absent<T: Serialize>(lake: &Lake, path: &Path, value: &T) -> Result<bool> {
    let payload = encode(path, value)?;
    match lake.objects().put_opts(path, payload, PutMode::Create.into()).await {
        Ok(_) => Ok(true),
        Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
        Err(error) => Err(lake.write_error(path.as_ref(), error)),
    }
}

/// Deletes an object; one that is gone already counts as deleted.
pub(crate) async fn delete(lake: &Lake, path: &Path) -> Result<()> {
    match lake.objects().delete(path).await {
        Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
        Err(error) => Err(lake.explain(&format!("cannot delete {}", lake.describe(path.as_ref())), error)),
    }
}

fn encode<T: Serialize>(path: &Path, value: &T) -> Result<PutPayload> {
    match serde_json::to_vec(value) {
        Ok(bytes) => Ok(PutPayload::from(bytes)),
        Err(error) => Err(Error::internal(format!("cannot encode {path}")).caused_by(error)),
    }
}
