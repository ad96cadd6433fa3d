//! What `laguna serve` needs of `laguna.yml`: doors and users, with their secrets. Resolved apart from the rest,
//! so that a run needs no password of a user.

use std::collections::BTreeMap;
use std::path::Path;

use laguna_base::settings::{ProjectSettings, ServeSettings, UserSettings, yaml};
use laguna_base::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::text::{decode, place_of_key};
use super::{LoadOptions, PROJECT_FILE, Project, folder};
use crate::render::Renderer;

/// What the project says of serving it; templates are rendered, so it holds secrets.
#[derive(Clone)]
pub struct Service {
    /// Doors and limits.
    pub serve: ServeSettings,
    /// Who may log in.
    pub users: BTreeMap<String, UserSettings>,
}

impl Project {
    /// The settings of `laguna serve` of the project in `dir`: reads `laguna.yml` alone.
    pub fn service(dir: &Path, options: &LoadOptions) -> Result<Service> {
        let dir = folder::absolute(dir)?;
        let files = folder::read_settings(&dir)?;
        let bytes =
            files.get(PROJECT_FILE).ok_or_else(|| Error::project(format!("there is no {PROJECT_FILE}")))?;
        let text = decode(PROJECT_FILE, bytes)?;
        let settings: ProjectSettings = yaml::parse(PROJECT_FILE, text)?;
        let none = Default::default();
        let mut vars = settings.vars.clone();
        let first = Renderer::new(BTreeMap::new(), options.env.clone(), &none, Default::default())?;
        for value in vars.values_mut() {
            first.value(value)?;
        }
        vars.extend(options.vars.clone());
        let renderer = Renderer::new(vars, options.env.clone(), &none, Default::default())?;
        let place = |key: &str, error: Error| {
            let (line, column) = place_of_key(text, key);
            error.at(PROJECT_FILE, line, column)
        };
        let serve = rendered(&renderer, &settings.serve).map_err(|error| place("serve", error))?;
        let users = settings
            .users
            .iter()
            .map(|(name, user)| {
                let user = rendered(&renderer, user).map_err(|error| place(name, error))?;
                Ok((name.clone(), user))
            })
            .collect::<Result<_>>()?;
        Ok(Service { serve, users })
    }
}

/// The same settings with their templates rendered.
fn rendered<T: Serialize + DeserializeOwned>(renderer: &Renderer, settings: &T) -> Result<T> {
    let broken = |error: serde_json::Error| Error::project("the settings cannot be read").caused_by(error);
    let mut value = serde_json::to_value(settings).map_err(broken)?;
    renderer.value(&mut value)?;
    serde_json::from_value(value).map_err(broken)
}
