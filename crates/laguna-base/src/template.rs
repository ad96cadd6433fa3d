//! `{{ env('NAME') }}` and `{{ var('name') }}` in settings and models.

use std::collections::BTreeMap;
use std::sync::Arc;

use minijinja::{Environment, ErrorKind as TemplateErrorKind, UndefinedBehavior, Value};

use crate::{Error, Result, suggest};

/// Looks up an environment variable; tests pass their own.
pub type EnvLookup = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// What `var()` and `env()` answer.
#[derive(Clone)]
pub struct Variables {
    vars: Arc<BTreeMap<String, serde_json::Value>>,
    env: EnvLookup,
}

impl Variables {
    /// Variables of a project (`vars:`, overridden by `--var`) and the lookup for `env()`.
    pub fn new(vars: BTreeMap<String, serde_json::Value>, env: EnvLookup) -> Self {
        Variables { vars: Arc::new(vars), env }
    }

    /// The project's variables.
    pub fn vars(&self) -> &BTreeMap<String, serde_json::Value> {
        &self.vars
    }

    /// A strict template environment with `env(name[, default])` and `var(name[, default])`, and bounded work.
    pub fn environment(&self) -> Environment<'static> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(10_000_000));
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        let env = self.env.clone();
        environment.add_function("env", move |name: &str, default: Option<Value>| {
            match (env(name), default) {
                (Some(value), _) => Ok(Value::from(value)),
                (None, Some(default)) => Ok(default),
                (None, None) => Err(minijinja::Error::new(
                    TemplateErrorKind::InvalidOperation,
                    format!("the environment variable `{name}` is not set; export it, or give a default: env('{name}', '…')"),
                )),
            }
        });
        let vars = self.vars.clone();
        environment.add_function("var", move |name: &str, default: Option<Value>| {
            match (vars.get(name), default) {
                (Some(value), _) => Ok(Value::from(minijinja::value::Serde(value.clone()))),
                (None, Some(default)) => Ok(default),
                (None, None) => {
                    let hint = match vars.is_empty() {
                        true => format!("set it under `vars:` in laguna.yml, or pass --var {name}=…"),
                        false => format!("{}; or pass --var {name}=…", suggest::hint(name, vars.keys())),
                    };
                    Err(minijinja::Error::new(
                        TemplateErrorKind::InvalidOperation,
                        format!("the variable `{name}` is not set; {hint}"),
                    ))
                }
            }
        });
        environment
    }

    /// Renders one setting. Text without `{{` or `{%` is returned as it is.
    pub fn render(&self, text: &str) -> Result<String> {
        if !text.contains("{{") && !text.contains("{%") {
            return Ok(text.to_string());
        }
        self.environment().render_str(text, ()).map_err(|error| template_error(&error))
    }
}

/// A template failure as an error of the project, with its line where minijinja knows it.
pub fn template_error(error: &minijinja::Error) -> Error {
    let message = match error.detail() {
        Some(detail) => format!("template: {detail}"),
        None => format!("template: {}", error.kind()),
    };
    // The name of the template is its file: `render_str` calls it `<string>`.
    match (error.name(), error.line()) {
        (Some(file), Some(line)) if file != "<string>" => Error::project(message).at(file, line, 0),
        _ => Error::project(message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_and_environment_are_rendered_or_explained() {
        let variables = Variables::new(
            BTreeMap::from([("first_year".to_string(), serde_json::json!(2013))]),
            Arc::new(|name| (name == "HOME").then(|| "/home/a".to_string())),
        );
        assert_eq!(
            variables.render("{{ env('HOME') }}/x {{ var('first_year') }}").unwrap(),
            "/home/a/x 2013"
        );
        assert_eq!(variables.render("{{ env('NO', 'd') }}").unwrap(), "d");
        let error = variables.render("{{ var('first_yaer') }}").unwrap_err();
        assert!(error.message().contains("did you mean `first_year`"), "{error}");
        assert!(variables.render("{{ env('NO') }}").is_err());
    }
}
