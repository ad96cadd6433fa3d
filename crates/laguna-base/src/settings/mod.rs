//! What the user writes in YAML, as typed: these types only record. They are resolved by the rooms that use them.

pub mod dataset;
pub mod project;
pub mod role;
pub mod serve;
pub mod table;
pub mod yaml;

pub use dataset::DatasetSettings;
pub use project::ProjectSettings;
pub use role::RoleSettings;
pub use serve::{ServeSettings, UserSettings};
pub use table::TableSettings;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One value or a list of them: `key: id` is `key: [id]`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct OneOrMany(#[schemars(with = "OneOrManySchema")] pub Vec<String>);

#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "describes the accepted forms in the JSON Schema")]
enum OneOrManySchema {
    One(String),
    Many(Vec<String>),
}

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = OneOrMany;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a text or a list of texts")
            }
            fn visit_str<E>(self, text: &str) -> Result<OneOrMany, E> {
                Ok(OneOrMany(vec![text.to_string()]))
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut items: A) -> Result<OneOrMany, A::Error> {
                let mut all = Vec::new();
                while let Some(item) = items.next_element()? {
                    all.push(item);
                }
                Ok(OneOrMany(all))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl std::ops::Deref for OneOrMany {
    type Target = [String];
    fn deref(&self) -> &[String] {
        &self.0
    }
}

/// A duration as people write it: `10s`, `5m`, `3d`; units ms, s, m, h, d, w.
pub fn parse_duration(text: &str) -> Option<std::time::Duration> {
    let text = text.trim();
    let split = text.find(|c: char| c.is_ascii_alphabetic())?;
    let amount: f64 =
        text[..split].trim().parse().ok().filter(|amount: &f64| *amount >= 0.0 && *amount < 1e9)?;
    let unit = match text[split..].trim() {
        "ms" => 0.001,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        "w" => 604_800.0,
        _ => return None,
    };
    Some(std::time::Duration::from_secs_f64(amount * unit))
}

/// A number of bytes as people write it: `128MB`, `1 GB`; units B, KB, MB, GB, TB and KiB to TiB, all in steps of 1024.
pub fn parse_bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let split = text.find(|c: char| c.is_ascii_alphabetic())?;
    let amount: f64 =
        text[..split].trim().parse().ok().filter(|amount: &f64| *amount >= 0.0 && *amount < 1e9)?;
    let power = match text[split..].trim().to_uppercase().as_str() {
        "B" => 0,
        "KB" | "KIB" => 1,
        "MB" | "MIB" => 2,
        "GB" | "GIB" => 3,
        "TB" | "TIB" => 4,
        _ => return None,
    };
    Some((amount * 1024f64.powi(power)) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_their_unit() {
        assert_eq!(parse_bytes("128MB"), Some(128 << 20));
        assert_eq!(parse_bytes(" 1.5 KiB"), Some(1536));
        assert_eq!(parse_bytes("7b"), Some(7));
        for wrong in ["128", "MB", "-1MB", "3 sheets", ""] {
            assert!(parse_bytes(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn durations_are_read_with_their_unit() {
        assert_eq!(parse_duration("10s").unwrap().as_secs(), 10);
        assert_eq!(parse_duration("1.5 m").unwrap().as_secs(), 90);
        assert_eq!(parse_duration("3d").unwrap().as_secs(), 259_200);
        for wrong in ["3", "x", "-1s", "3 fortnights", ""] {
            assert!(parse_duration(wrong).is_none(), "{wrong}");
        }
    }
}
