//! The project as it was: `_laguna/code/<hash>.tar.zst`, stored with the release that ran it.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::process::Command;

use laguna_base::{Error, Result};
use laguna_model::Project;
use laguna_store::Lake;
use laguna_store::object_store::{ObjectStoreExt, PutMode, PutPayload, path::Path as ObjectPath};

/// Largest file of code that is stored.
const LARGEST: u64 = 16 << 20;

fn object(hash: &str) -> ObjectPath {
    ObjectPath::from(format!("_laguna/code/{hash}.tar.zst"))
}

/// Stores the project's code once; returns its hash.
pub async fn save(lake: &Lake, project: &Project) -> Result<String> {
    let hash = project.code.hash();
    let wrong =
        |error: std::io::Error| Error::storage("the project's code cannot be packed").caused_by(error);
    let mut archive = tar::Builder::new(Vec::new());
    for (path, bytes) in project.code.files() {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, path, bytes.as_slice()).map_err(wrong)?;
    }
    let packed = zstd::encode_all(archive.into_inner().map_err(wrong)?.as_slice(), 3).map_err(wrong)?;
    let put = lake.objects().put_opts(&object(&hash), PutPayload::from(packed), PutMode::Create.into()).await;
    match put {
        Ok(_) | Err(laguna_store::object_store::Error::AlreadyExists { .. }) => Ok(hash),
        Err(error) => Err(Error::storage("the project's code cannot be stored").caused_by(error)),
    }
}

/// The stored code: path to bytes.
pub async fn load(lake: &Lake, hash: &str) -> Result<BTreeMap<String, Vec<u8>>> {
    let damaged =
        |error: std::io::Error| Error::stored(format!("the stored code {hash} is damaged")).caused_by(error);
    let bytes = lake
        .objects()
        .get(&object(hash))
        .await
        .map_err(|error| Error::stored(format!("the code {hash} is not in the lake")).caused_by(error))?
        .bytes()
        .await
        .map_err(|error| Error::storage("the stored code cannot be read").caused_by(error))?;
    let unpacked = zstd::decode_all(bytes.as_ref()).map_err(damaged)?;
    let mut archive = tar::Archive::new(unpacked.as_slice());
    let mut files = BTreeMap::new();
    for entry in archive.entries().map_err(damaged)? {
        let mut entry = entry.map_err(damaged)?;
        let path = entry.path().map_err(damaged)?.to_string_lossy().into_owned();
        let mut bytes = Vec::new();
        entry.by_ref().take(LARGEST).read_to_end(&mut bytes).map_err(damaged)?;
        files.insert(path, bytes);
    }
    Ok(files)
}

/// Commit of the git repository that holds `dir`, with `-dirty` when files in it differ. `None` outside git.
pub fn git_commit(dir: &Path) -> Option<String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").arg("-C").arg(dir).args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_string())
    };
    let commit = git(&["rev-parse", "HEAD"])?;
    let dirty = git(&["status", "--porcelain", "--", "."]).is_some_and(|changes| !changes.is_empty());
    Some(if dirty { format!("{commit}-dirty") } else { commit })
}
