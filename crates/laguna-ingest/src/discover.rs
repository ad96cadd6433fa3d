//! Which files a source offers, and the fingerprint of their bytes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use laguna_base::settings::dataset::SourceSettings;
use laguna_base::{Error, Result};

/// A file that a source offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputFile {
    /// Path with `/` between folders, relative to the project folder where the pattern is.
    pub path: String,
    /// Where to open it.
    pub absolute: PathBuf,
    /// Bytes, as found (compressed).
    pub size: u64,
    /// Time of the last change, µs since 1970 UTC; `None` when the file system does not tell.
    pub modified: Option<i64>,
}

/// What [`discover`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Discovered {
    /// The files, sorted by path, each once.
    pub files: Vec<InputFile>,
    /// Patterns that match no file.
    pub unmatched: Vec<String>,
}

/// The files that match `source.files`. Patterns know `*`, `?`, `[a-z]`, `**` for any folders, and `{a,b}`; they are
/// relative to `project_dir` unless absolute. Hidden files match only a pattern that names the dot. A path that exists
/// is taken as it is, even when it holds characters that mean something in a pattern.
pub fn discover(project_dir: &Path, source: &SourceSettings) -> Result<Discovered> {
    let mut found = BTreeMap::new();
    let mut unmatched = Vec::new();
    for pattern in source.files.iter() {
        let mut any = false;
        if project_dir.join(pattern).is_file() {
            any = true;
            add(project_dir, &project_dir.join(pattern), pattern, &mut found)?;
        } else {
            for one in braces(pattern) {
                any |= expand(project_dir, pattern, &one, &mut found)?;
            }
        }
        if !any {
            unmatched.push(pattern.clone());
        }
    }
    Ok(Discovered { files: found.into_values().collect(), unmatched })
}

/// BLAKE3 of the file's bytes as found: 32 lower-case hexadecimal digits. Streams.
pub fn hash_file(file: &InputFile) -> Result<String> {
    let mut reader = File::open(&file.absolute).map_err(|error| unreadable(&file.path, error))?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 1 << 18];
    loop {
        let read = match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(unreadable(&file.path, error)),
        };
        hasher.update(&buffer[..read]);
    }
    Ok(hex(&hasher))
}

pub(crate) fn hex(hasher: &blake3::Hasher) -> String {
    hasher.finalize().to_hex()[..32].to_string()
}

pub(crate) fn unreadable(path: &str, error: std::io::Error) -> Error {
    Error::storage(format!("the file `{path}` cannot be read")).caused_by(error)
}

fn expand(
    project_dir: &Path,
    pattern: &str,
    one: &str,
    found: &mut BTreeMap<String, InputFile>,
) -> Result<bool> {
    let relative = !Path::new(one).is_absolute();
    let full = if relative {
        // The project folder's own name may hold brackets: it is no pattern.
        let base = glob::Pattern::escape(&project_dir.to_string_lossy());
        format!("{}/{}", base.trim_end_matches('/'), one.trim_start_matches("./"))
    } else {
        one.to_string()
    };
    let options = glob::MatchOptions {
        case_sensitive: true,
        require_literal_separator: true,
        require_literal_leading_dot: true,
    };
    let paths = glob::glob_with(&full, options).map_err(|error| {
        Error::project(format!("`{pattern}` is not a pattern of files"))
            .hint("`*`, `?`, `[a-z]`, `{a,b}`, and `**` as a folder of its own are understood")
            .caused_by(error)
    })?;
    let mut any = false;
    for path in paths {
        let path = path.map_err(|error| {
            Error::storage(format!("a folder of the pattern `{pattern}` cannot be listed")).caused_by(error)
        })?;
        if !path.is_file() {
            continue;
        }
        any = true;
        let shown = match path.strip_prefix(project_dir) {
            Ok(inside) if relative => inside.to_string_lossy().replace('\\', "/"),
            _ => path.to_string_lossy().replace('\\', "/"),
        };
        add(project_dir, &path, &shown, found)?;
    }
    Ok(any)
}

fn add(project_dir: &Path, path: &Path, shown: &str, found: &mut BTreeMap<String, InputFile>) -> Result<()> {
    let shown = shown.trim_start_matches("./").to_string();
    let metadata = std::fs::metadata(path).map_err(|error| unreadable(&shown, error))?;
    let modified = metadata
        .modified()
        .ok()
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
        .and_then(|since| i64::try_from(since.as_micros()).ok());
    let absolute =
        if path.is_absolute() { path.to_path_buf() } else { project_dir_absolute(project_dir, path) };
    found.insert(shown.clone(), InputFile { path: shown, absolute, size: metadata.len(), modified });
    Ok(())
}

fn project_dir_absolute(_project_dir: &Path, path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}

/// `a.{x,y{1,2}}` as `a.x`, `a.y1`, `a.y2`. A brace without its partner stands for itself.
fn braces(pattern: &str) -> Vec<String> {
    let Some(open) = pattern.find('{') else { return vec![pattern.to_string()] };
    let mut depth = 0;
    let mut parts = Vec::new();
    let mut from = open + 1;
    for (at, c) in pattern[open..].char_indices() {
        let at = open + at;
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => {
                parts.push(&pattern[from..at]);
                from = at + 1;
            }
            _ => {}
        }
        if c == '}' && depth == 0 {
            parts.push(&pattern[from..at]);
            let (head, tail) = (&pattern[..open], &pattern[at + 1..]);
            return parts.into_iter().flat_map(|part| braces(&format!("{head}{part}{tail}"))).collect();
        }
    }
    vec![pattern.to_string()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use laguna_base::settings::OneOrMany;

    fn source(patterns: &[&str]) -> SourceSettings {
        SourceSettings {
            files: OneOrMany(patterns.iter().map(|p| p.to_string()).collect()),
            ..Default::default()
        }
    }

    #[test]
    fn files_are_found_sorted_and_once() {
        let dir = tempfile::tempdir().unwrap();
        for path in ["d/b.csv", "d/a.csv", "d/e/c.csv", "d/x.json", "d/odd[1].csv", "d/.hidden.csv"] {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        }
        let list = |patterns: &[&str]| {
            let found = discover(dir.path(), &source(patterns)).unwrap();
            (found.files.into_iter().map(|f| f.path).collect::<Vec<_>>(), found.unmatched)
        };
        assert_eq!(list(&["d/[ab].csv", "./d/a.csv", "d/*.nope"]).0, ["d/a.csv", "d/b.csv"]);
        assert_eq!(list(&["d/[ab].csv", "d/*.nope"]).1, ["d/*.nope"]);
        assert_eq!(list(&["d/**/*.csv"]).0, ["d/a.csv", "d/b.csv", "d/e/c.csv", "d/odd[1].csv"]);
        assert_eq!(list(&["d/{a,x}.{csv,json}"]).0, ["d/a.csv", "d/x.json"]);
        assert_eq!(list(&["d/odd[1].csv"]).0, ["d/odd[1].csv"]);
        assert!(discover(dir.path(), &source(&["d/***.csv"])).is_err());
    }

    #[test]
    fn the_hash_is_that_of_the_bytes() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a"), "hello").unwrap();
        let found = discover(dir.path(), &source(&["a"])).unwrap();
        assert_eq!(hash_file(&found.files[0]).unwrap(), laguna_base::hash::of("hello"));
    }
}
