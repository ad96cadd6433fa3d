//! The files of a project by what they are for, and places within their text.

use std::collections::{BTreeMap, BTreeSet};

use laguna_base::settings::{DatasetSettings, TableSettings, yaml};
use laguna_base::{Error, Result, TableName, Tier, suggest};

/// Folders whose files mean something.
const FOLDERS: [&str; 4] = ["raw", "sanitized", "enhanced", "macros"];

/// The project's texts by what they are for.
#[derive(Default)]
pub(super) struct Listing {
    /// `raw/*.yml`.
    pub(super) datasets: BTreeMap<TableName, File>,
    /// `sanitized/*.sql`, `enhanced/*.sql`.
    pub(super) models: BTreeMap<TableName, File>,
    /// The settings beside models.
    pub(super) settings: BTreeMap<TableName, File>,
    /// `macros/*.sql`: text by file.
    pub(super) macros: BTreeMap<String, String>,
}

/// A file and its text.
pub(super) struct File {
    /// Relative to the project.
    pub(super) path: String,
    /// Without byte order mark; empty when it could not be decoded, which is an error of its own.
    pub(super) text: String,
    /// The text could be decoded.
    pub(super) readable: bool,
}

impl Listing {
    /// Every dataset and model that has a file.
    pub(super) fn names(&self) -> BTreeSet<TableName> {
        self.datasets.keys().chain(self.models.keys()).cloned().collect()
    }
}

/// Sorts `files` by what they are for; whatever stands in the way is pushed to `errors`.
pub(super) fn list(files: &BTreeMap<String, Vec<u8>>, errors: &mut Vec<Error>) -> Listing {
    let mut listing = Listing::default();
    for (path, bytes) in files {
        let Some((folder, rest)) = path.split_once('/') else { continue };
        let Some((stem, extension)) = rest.rsplit_once('.') else { continue };
        if stem.is_empty() || stem.starts_with('.') {
            continue;
        }
        let extension = extension.to_ascii_lowercase();
        let is_yaml = extension == "yml" || extension == "yaml";
        if folder == "macros" {
            if extension == "sql" {
                match decode(path, bytes) {
                    Ok(text) => drop(listing.macros.insert(path.clone(), text.to_string())),
                    Err(error) => errors.push(error),
                }
            }
            continue;
        }
        let tier = match folder {
            "raw" => Tier::Raw,
            "sanitized" => Tier::Sanitized,
            "enhanced" => Tier::Enhanced,
            _ => continue,
        };
        if tier.is_model() && extension == "py" {
            errors.push(
                Error::project("Python models are not available in this version")
                    .at(path, 0, 0)
                    .hint("write the model in SQL, or move the file out of the folder"),
            );
            continue;
        }
        let is_model = tier.is_model() && extension == "sql";
        if !is_model && !is_yaml {
            continue;
        }
        if let Some((_, name)) = stem.rsplit_once('/') {
            errors.push(
                Error::project(format!("a file in a folder below {folder}/ has no name in SQL"))
                    .at(path, 0, 0)
                    .hint(format!("the path is the name: move it to {folder}/{name}.{extension}")),
            );
            continue;
        }
        let name = match TableName::new(tier, stem) {
            Ok(name) => name,
            Err(error) => {
                errors.push(error.at(path, 0, 0));
                continue;
            }
        };
        let (text, readable) = match decode(path, bytes) {
            Ok(text) => (text.to_string(), true),
            Err(error) => {
                errors.push(error);
                (String::new(), false)
            }
        };
        let home = match (tier, is_model) {
            (Tier::Raw, _) => &mut listing.datasets,
            (_, true) => &mut listing.models,
            (_, false) => &mut listing.settings,
        };
        if let Some(other) = home.insert(name, File { path: path.clone(), text, readable }) {
            errors.push(
                Error::project(format!("{} and {path} are about the same table", other.path))
                    .at(path, 0, 0)
                    .hint("keep one of them"),
            );
        }
    }
    listing
}

/// What is wrong with the YAML of `listing` by itself.
pub(super) fn malformed(listing: &Listing) -> Vec<Error> {
    let datasets = listing
        .datasets
        .values()
        .filter(|file| file.readable)
        .filter_map(|file| yaml::parse::<DatasetSettings>(&file.path, &file.text).err());
    let tables = listing
        .settings
        .values()
        .filter(|file| file.readable)
        .filter_map(|file| yaml::parse::<TableSettings>(&file.path, &file.text).err());
    datasets.chain(tables).collect()
}

/// `bytes` as text without byte order mark.
pub(super) fn decode<'a>(path: &str, bytes: &'a [u8]) -> Result<&'a str> {
    let body = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    std::str::from_utf8(body).map_err(|error| {
        let utf16 = bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff");
        let (line, column) = place_of(&body[..error.valid_up_to()]);
        Error::project(if utf16 { "the file is UTF-16, not UTF-8" } else { "the file is not UTF-8" })
            .at(path, if utf16 { 0 } else { line }, column)
            .hint("save it as UTF-8")
    })
}

/// Line and column after `before`, from 1, columns in characters.
fn place_of(before: &[u8]) -> (usize, usize) {
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    (line, String::from_utf8_lossy(&before[start..]).chars().count() + 1)
}

/// Where `needle` first stands in `text`; zeros when it does not.
pub(super) fn place_of_text(text: &str, needle: &str) -> (usize, usize) {
    text.find(needle).map_or((0, 0), |at| place_of(&text.as_bytes()[..at]))
}

/// Where the YAML key `key` first stands in `text`; zeros when it does not.
pub(super) fn place_of_key(text: &str, key: &str) -> (usize, usize) {
    let mut from = 0;
    while let Some(at) = text[from..].find(key).map(|at| at + from) {
        let (before, after) = (&text[..at], &text[at + key.len()..]);
        let starts = before.chars().next_back().is_none_or(|c| c.is_whitespace() || "{,\"'".contains(c));
        let comment = before.rsplit('\n').next().is_some_and(|line| line.trim_start().starts_with('#'));
        if starts && !comment && after.trim_start_matches(['"', '\'', ' ']).starts_with(':') {
            return place_of(before.as_bytes());
        }
        from = at + key.len();
    }
    (0, 0)
}

/// Warnings about SQL and YAML that stands where nothing reads it but probably was meant to be read.
pub(super) fn misplaced<'a>(paths: impl Iterator<Item = &'a String>) -> Vec<Error> {
    let mut warnings = Vec::new();
    for path in paths {
        let extension = path.rsplit('.').next().unwrap_or_default();
        let is_sql = extension == "sql";
        if !is_sql && extension != "yml" && extension != "yaml" {
            continue;
        }
        let warning = match path.split_once('/') {
            None if is_sql => Some("move it to sanitized/ or enhanced/ to make it a model".to_string()),
            Some(("raw", _)) if is_sql => Some("models stand in sanitized/ and enhanced/".to_string()),
            Some(("macros", _)) if !is_sql => Some("macros are .sql files".to_string()),
            Some((folder, rest)) if !FOLDERS.contains(&folder) => {
                suggest::nearest(folder, &FOLDERS).map(|near| format!("did you mean {near}/{rest}?"))
            }
            _ => None,
        };
        if let Some(hint) = warning {
            warnings.push(Error::project("this file is not read").at(path, 0, 0).hint(hint));
        }
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_in_block_and_flow_style() {
        let text = "# key: no\nmonkey: 1\na: {x: 1, key: 2}\nkey: 3\n";
        assert_eq!(place_of_key(text, "key"), (3, 11));
        assert_eq!(place_of_key(text, "other"), (0, 0));
        assert_eq!(place_of_text("a\nbé c", "c"), (2, 4));
    }

    #[test]
    fn text_that_is_not_utf8_says_where() {
        assert_eq!(decode("a.sql", b"\xef\xbb\xbfSELECT 1").unwrap(), "SELECT 1");
        assert_eq!(
            decode("a.sql", b"SELECT 1\n -- \xe9").unwrap_err().to_string(),
            "a.sql:2:5: the file is not UTF-8"
        );
        assert!(decode("a.sql", b"\xff\xfeS\0").unwrap_err().message().contains("UTF-16"));
    }

    #[test]
    fn files_in_the_wrong_place_are_pointed_out() {
        let paths =
            ["x.sql", "sanitised/a.sql", "raw/a.sql", "docker-compose.yml", "docs/a.yml", "enhanced/a.sql"];
        let paths: Vec<String> = paths.iter().map(ToString::to_string).collect();
        let warnings: Vec<String> =
            misplaced(paths.iter()).iter().map(|w| format!("{w}; {}", w.hint_text().unwrap())).collect();
        assert_eq!(
            warnings,
            [
                "x.sql: this file is not read; move it to sanitized/ or enhanced/ to make it a model",
                "sanitised/a.sql: this file is not read; did you mean sanitized/a.sql?",
                "raw/a.sql: this file is not read; models stand in sanitized/ and enhanced/",
            ]
        );
    }
}
