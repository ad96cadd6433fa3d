//! `serve:` and `users:` of `laguna.yml`: which doors are open, who may come in, and what a statement may use.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of `laguna serve`.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct ServeSettings {
    /// Address of the Postgres wire door, as `127.0.0.1:5439`; port 0 picks a free one and prints it; false closes it.
    pub postgres: Door,
    /// Address of the Flight SQL door.
    pub flight: Door,
    /// Address of the HTTP door: SQL, tables, pages, metrics.
    pub http: Door,
    /// Certificate and key for all doors.
    pub tls: Option<TlsSettings>,
    /// Bytes that all statements together may hold before they spill, as `4GB`; default 60 % of the machine's memory.
    pub memory: Option<String>,
    /// How long a statement may run, as `60s`; a role may have its own.
    pub timeout: String,
    /// Statements at once; the others wait. Default four times the number of cores.
    pub concurrency: Option<usize>,
    /// Rows that a statement may answer with; default no limit.
    pub max_rows: Option<u64>,
    /// Bytes of results that are kept for statements that are asked again, as `64MB`; `0B` keeps none.
    pub cache: String,
    /// How long running statements may go on when the server stops, as `10s`.
    pub grace: String,
    /// Login by tokens of an OpenID provider.
    pub oidc: Option<OidcSettings>,
    /// Whether each statement and each refused login is recorded in `system.queries`.
    pub audit: bool,
    /// Whether the project's schedules run in this process.
    pub schedule: bool,
}

impl Default for ServeSettings {
    fn default() -> Self {
        ServeSettings {
            postgres: Door::At("127.0.0.1:5439".to_string()),
            flight: Door::At("127.0.0.1:5440".to_string()),
            http: Door::At("127.0.0.1:8080".to_string()),
            tls: None,
            memory: None,
            timeout: "60s".to_string(),
            concurrency: None,
            max_rows: None,
            cache: "64MB".to_string(),
            grace: "10s".to_string(),
            oidc: None,
            audit: true,
            schedule: true,
        }
    }
}

/// Where a door listens.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(untagged)]
pub enum Door {
    /// `false` closes the door.
    Open(bool),
    /// An address with its port.
    At(String),
}

/// Files in PEM form; paths start at the project's folder.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct TlsSettings {
    /// The certificate, followed by those that vouch for it.
    pub cert: String,
    /// Its private key.
    pub key: String,
}

/// An OpenID provider whose bearer tokens are accepted.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct OidcSettings {
    /// Issuer, as the tokens name it; its `/.well-known/openid-configuration` names the keys.
    pub issuer: String,
    /// What the tokens must be made for.
    pub audience: String,
    /// Address of the keys, where the issuer has no configuration to read.
    #[serde(default)]
    pub jwks: Option<String>,
    /// The claim that holds the user's name.
    #[serde(default = "default_name_claim")]
    pub name_claim: String,
    /// The claim that lists the user's groups.
    #[serde(default = "default_groups_claim")]
    pub groups_claim: String,
    /// Which group has which role; the first group in this order that a user is in decides.
    #[serde(with = "in_order")]
    #[schemars(with = "BTreeMap<String, String>")]
    pub groups: Vec<(String, String)>,
}

/// A mapping whose order counts.
mod in_order {
    use std::fmt;

    use serde::de::{MapAccess, Visitor};
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        pairs: &[(String, String)],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_map(pairs.iter().map(|(key, value)| (key, value)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<(String, String)>, D::Error> {
        struct Pairs;

        impl<'de> Visitor<'de> for Pairs {
            type Value = Vec<(String, String)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping of groups to roles")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(pairs)
            }
        }

        deserializer.deserialize_map(Pairs)
    }
}

fn default_name_claim() -> String {
    "sub".to_string()
}

fn default_groups_claim() -> String {
    "groups".to_string()
}

/// One person or program that may log in, by password or by token.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct UserSettings {
    /// One of `roles:`, or `admin`, which reads everything.
    pub role: String,
    /// From the environment: `{{ env('NAME') }}`; or an Argon2 hash in PHC form.
    pub password: Option<String>,
    /// Bearer token of programs, from the environment; or an Argon2 hash in PHC form.
    pub token: Option<String>,
}
