//! The macros of `macros/*.sql`: functions that every template can call, whichever file it stands in.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use laguna_base::template::template_error;
use laguna_base::{Error, Result};
use minijinja::value::{Kwargs, Rest};
use minijinja::{Environment, State, Value, context};
use regex::Regex;

use super::{Secrets, invalid, place_of, scope_of};

/// How deep macros may call each other.
const MACRO_DEPTH: usize = 50;

/// Words that templates know without a macro file.
const BUILT_IN: [&str; 7] = ["ref", "source", "var", "env", "this", "is_incremental", "config"];

/// Makes each macro of `macros/*.sql` a function that every template can call, other macro files included.
pub(super) fn add(
    environment: &mut Environment<'static>,
    macros: &BTreeMap<String, String>,
    secrets: &Secrets,
) -> Result<()> {
    let mut homes: BTreeMap<String, String> = BTreeMap::new();
    let mut errors = Vec::new();
    let Ok(definition) = Regex::new(r"\{%[-+]?\s*macro\s+([A-Za-z_][A-Za-z0-9_]*)\s*\(") else {
        return Err(Error::internal("the pattern of macro definitions is wrong"));
    };
    for (file, text) in macros {
        if let Err(error) = environment.add_template_owned(file.clone(), text.clone()) {
            let message = secrets.hide(template_error(&error).message());
            errors.push(Error::project(message).at(file, error.line().unwrap_or(0), 0));
            continue;
        }
        for captures in definition.captures_iter(text) {
            let (Some(whole), name) = (captures.get(0), captures[1].to_string()) else { continue };
            let (line, column) = place_of(text, whole.start());
            if BUILT_IN.contains(&name.as_str()) {
                errors.push(
                    Error::project(format!("the macro `{name}` would hide a function of Laguna"))
                        .at(file, line, column)
                        .hint("give it another name"),
                );
            } else if let Some(other) = homes.insert(name.clone(), file.clone()) {
                errors.push(
                    Error::project(format!("the macro `{name}` is defined twice, also in {other}"))
                        .at(file, line, column)
                        .hint("rename one of them"),
                );
            }
        }
    }
    for (name, file) in homes {
        let called = name.clone();
        environment.add_function(name, move |state: &mut State, positional: Rest<Value>, named: Kwargs| {
            let mut arguments = positional.0;
            if named.args().next().is_some() {
                arguments.push(Value::from(named));
            }
            call_macro(state, &file, &called, &arguments)
        });
    }
    Error::many(errors).map_or(Ok(()), Err)
}

fn call_macro(
    state: &mut State,
    file: &str,
    name: &str,
    arguments: &[Value],
) -> Result<Value, minijinja::Error> {
    let scope = scope_of(state);
    let depth = |change: isize| {
        scope.as_ref().map_or(0, |scope| {
            let mut depth = scope.depth.lock().unwrap_or_else(PoisonError::into_inner);
            *depth = depth.saturating_add_signed(change);
            *depth
        })
    };
    if depth(1) > MACRO_DEPTH {
        depth(-1);
        return Err(invalid(format!("macros call each other more than {MACRO_DEPTH} deep, last `{name}`")));
    }
    let variables = context! {
        this => state.lookup("this").unwrap_or_default(),
        __scope => state.lookup("__scope").unwrap_or_default(),
    };
    let result = state.env().get_template(file).and_then(|template| {
        let mut captured = template.render_captured(variables)?;
        captured.with_state_mut(|inner| inner.call_macro(name, arguments))
    });
    depth(-1);
    result.map(Value::from)
}
