//! Templates in models and their settings: `ref`, `source`, `var`, `env`, `this`, and the macros of `macros/*.sql`.
//!
//! Rendering is a function of the files, the variables and the environment: there is no clock and no chance in it.

mod macros;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use laguna_base::template::{EnvLookup, Variables, template_error};
use laguna_base::{Error, Result, TableName, Tier, suggest};
use minijinja::value::{Kwargs, Object, Rest};
use minijinja::{Environment, ErrorKind, OutputSpanKind, State, Value, context};

/// One template environment for all models and settings of a project.
pub struct Renderer {
    environment: Environment<'static>,
    secrets: Secrets,
}

/// A model's text after rendering.
#[derive(Debug)]
pub struct Rendered {
    /// The SQL.
    pub sql: String,
    /// Tables named by `ref()` and `source()`, also where the rendered SQL does not read them.
    pub refs: BTreeSet<TableName>,
    pub(crate) origin: Origin,
}

impl Renderer {
    /// Prepares rendering. `macros` are the texts of `macros/*.sql` by file; `tables` all datasets and models, which
    /// `ref()` and `source()` may name.
    pub fn new(
        vars: BTreeMap<String, serde_json::Value>,
        env: EnvLookup,
        macros: &BTreeMap<String, String>,
        tables: BTreeSet<TableName>,
    ) -> Result<Renderer> {
        let secrets = Secrets::default();
        let mut environment = Variables::new(vars, secrets.recorded(env)).environment();
        add_references(&mut environment, Arc::new(tables));
        environment.add_function("is_incremental", || false);
        environment.add_function("config", |_: Rest<Value>, _: Kwargs| -> Result<Value, minijinja::Error> {
            Err(invalid(
                "config() is not understood: settings stand in the .yml beside the model".to_string(),
            ))
        });
        let mut errors = Vec::new();
        if let Err(error) = macros::add(&mut environment, macros, &secrets) {
            errors.push(error);
        }
        match Error::many(errors) {
            Some(error) => Err(error),
            None => Ok(Renderer { environment, secrets }),
        }
    }

    /// Renders the SQL of `model`, whose text stands in `file`.
    pub fn model(&self, model: &TableName, file: &str, source: &str) -> Result<Rendered> {
        if !is_template(source) && !source.contains("{#") {
            return Ok(Rendered { sql: source.to_string(), refs: BTreeSet::new(), origin: Origin::Same });
        }
        let scope = Arc::new(Scope::default());
        let this = model.to_string();
        let scope_value = Value::from_dyn_object(scope.clone());
        let (sql, spans) = self
            .environment
            .template_from_named_str(file, source)
            .and_then(|template| template.render_with_spans(context! { this, __scope => scope_value }))
            .map_err(|error| self.explain(&error).at(file, error.line().unwrap_or(0), 0))?;
        let spans = spans
            .into_iter()
            .filter(|span| span.name() == file)
            .map(|span| Span {
                output: span.output_range(),
                source: span.source_range().start,
                raw: span.kind() == OutputSpanKind::Raw,
            })
            .collect();
        let refs = std::mem::take(&mut *scope.refs.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(Rendered { sql, refs, origin: Origin::Spans(spans) })
    }

    /// Renders one text of a settings file. `this` stays the word that checks understand.
    pub fn text(&self, text: &str) -> Result<String> {
        if !is_template(text) {
            return Ok(text.to_string());
        }
        let scope = Value::from_object(Scope::default());
        self.environment
            .render_str(text, context! { this => "this", __scope => scope })
            .map_err(|error| self.explain(&error))
    }

    /// Renders every text within `value`. A text that is one expression, as `"{{ var('limit') }}"`, becomes the
    /// expression's value, so that numbers and lists stay what they are.
    pub fn value(&self, value: &mut serde_json::Value) -> Result<()> {
        match value {
            serde_json::Value::String(text) if is_template(text) => {
                *value = match one_expression(text) {
                    Some(expression) => {
                        let result = self
                            .environment
                            .compile_expression(expression)
                            .and_then(|compiled| compiled.eval(context! { this => "this" }))
                            .map_err(|error| self.explain(&error))?;
                        serde_json::to_value(&result).map_err(|error| {
                            Error::project("template: the value cannot stand in settings").caused_by(error)
                        })?
                    }
                    None => serde_json::Value::String(self.text(text)?),
                };
                Ok(())
            }
            serde_json::Value::Array(items) => items.iter_mut().try_for_each(|item| self.value(item)),
            serde_json::Value::Object(map) => map.values_mut().try_for_each(|item| self.value(item)),
            _ => Ok(()),
        }
    }

    /// `text` with every value that `env()` has answered so far replaced by `***`.
    pub fn without_secrets(&self, text: &str) -> String {
        self.secrets.hide(text)
    }

    /// The values that `env()` has answered and will answer.
    pub(crate) fn secrets(&self) -> Secrets {
        self.secrets.clone()
    }

    fn explain(&self, error: &minijinja::Error) -> Error {
        let explained = template_error(error);
        let hidden = self.secrets.hide(explained.message());
        let mut clean = Error::project(hidden);
        if error.kind() == ErrorKind::UnknownFunction {
            clean = clean
                .hint("functions are ref, source, var, env, is_incremental and the macros of macros/*.sql");
        }
        match explained.location() {
            Some(location) => clean.at_location(location.clone()),
            None => clean,
        }
    }
}

impl Rendered {
    /// The place in `source` (as typed) of a place in the rendered SQL; both count lines and columns from 1.
    pub fn place(&self, source: &str, line: usize, column: usize) -> (usize, usize) {
        self.origin.place(&self.sql, source, line, column)
    }
}

impl Origin {
    /// The place in `source` of a place in `sql`, which was rendered from it.
    pub(crate) fn place(&self, sql: &str, source: &str, line: usize, column: usize) -> (usize, usize) {
        let Origin::Spans(spans) = self else { return (line, column) };
        if line == 0 {
            return (0, 0);
        }
        let offset = offset_of(sql, line, column);
        let index = spans.partition_point(|span| span.output.end <= offset);
        let Some(span) = spans.get(index).filter(|span| span.output.start <= offset).or(spans.last()) else {
            return (0, 0);
        };
        let inside = if span.raw { offset.saturating_sub(span.output.start) } else { 0 };
        place_of(source, span.source + inside)
    }
}

fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%")
}

fn one_expression(text: &str) -> Option<&str> {
    let inner = text.trim().strip_prefix("{{")?.strip_suffix("}}")?;
    let inner = inner.trim_start_matches('-').trim_end_matches('-').trim();
    (!inner.contains("{{") && !inner.contains("{%") && !inner.contains("}}")).then_some(inner)
}

/// Where the pieces of a rendered text come from.
#[derive(Debug, Clone)]
pub(crate) enum Origin {
    /// Nothing was rendered: places are the same.
    Same,
    /// Where each piece of the output comes from, in order.
    Spans(Vec<Span>),
}

#[derive(Debug, Clone)]
pub(crate) struct Span {
    output: std::ops::Range<usize>,
    source: usize,
    /// The piece is text of the source; else it came from the expression at `source`.
    raw: bool,
}

fn offset_of(text: &str, line: usize, column: usize) -> usize {
    let start: usize = text.split_inclusive('\n').take(line - 1).map(str::len).sum();
    let rest = text.get(start..).unwrap_or_default();
    start + rest.char_indices().nth(column.saturating_sub(1)).map_or(rest.len(), |(at, _)| at)
}

fn place_of(text: &str, offset: usize) -> (usize, usize) {
    let before = &text.as_bytes()[..offset.min(text.len())];
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let column = String::from_utf8_lossy(&before[start..]).chars().count() + 1;
    (line, column)
}

/// What one rendering has met; templates carry it as `__scope`, also into macros.
#[derive(Debug, Default)]
struct Scope {
    refs: Mutex<BTreeSet<TableName>>,
    depth: Mutex<usize>,
}

impl Object for Scope {}

fn scope_of(state: &State) -> Option<Arc<Scope>> {
    state.lookup("__scope")?.downcast_object::<Scope>()
}

fn invalid(message: String) -> minijinja::Error {
    minijinja::Error::new(ErrorKind::InvalidOperation, message)
}

fn add_references(environment: &mut Environment<'static>, tables: Arc<BTreeSet<TableName>>) {
    let all = tables.clone();
    environment.add_function("ref", move |state: &State, first: String, second: Option<String>| {
        found(state, find_ref(&all, first, second))
    });
    environment.add_function("source", move |state: &State, first: String, second: Option<String>| {
        found(state, find_source(&tables, first, second))
    });
}

fn found(state: &State, table: Result<TableName, String>) -> Result<String, minijinja::Error> {
    let table = table.map_err(invalid)?;
    let text = table.to_string();
    if let Some(scope) = scope_of(state) {
        scope.refs.lock().unwrap_or_else(PoisonError::into_inner).insert(table);
    }
    Ok(text)
}

fn find_ref(
    tables: &BTreeSet<TableName>,
    first: String,
    second: Option<String>,
) -> Result<TableName, String> {
    let text = second.map_or(first.clone(), |table| format!("{first}.{table}"));
    if text.contains('.') {
        return qualified(tables, &text, "ref");
    }
    let in_tier = |tier| TableName::new(tier, text.as_str()).ok().filter(|name| tables.contains(name));
    match (in_tier(Tier::Enhanced), in_tier(Tier::Sanitized)) {
        (Some(enhanced), Some(sanitized)) => {
            Err(format!("ref('{text}') could be {enhanced} or {sanitized}: name one of them"))
        }
        (Some(name), None) | (None, Some(name)) => Ok(name),
        (None, None) => {
            let models: Vec<String> =
                tables.iter().filter(|name| name.tier.is_model()).map(|name| name.table.clone()).collect();
            Err(format!("ref('{text}') names no model; {}", suggest::hint(&text, models.iter())))
        }
    }
}

fn find_source(
    tables: &BTreeSet<TableName>,
    first: String,
    second: Option<String>,
) -> Result<TableName, String> {
    match second {
        Some(table) => qualified(tables, &format!("{first}.{table}"), "source"),
        None if first.contains('.') => qualified(tables, &first, "source"),
        None => qualified(tables, &format!("raw.{first}"), "source"),
    }
}

fn qualified(tables: &BTreeSet<TableName>, text: &str, function: &str) -> Result<TableName, String> {
    let name: TableName =
        text.parse().map_err(|error: Error| format!("{function}(): {}", error.message()))?;
    let base = match name.tier {
        Tier::Latest => TableName { tier: Tier::Raw, table: name.table.clone() },
        _ => name.clone(),
    };
    if tables.contains(&base) || matches!(name.tier, Tier::Quarantine | Tier::System) {
        return Ok(name);
    }
    let known: Vec<String> = tables.iter().map(ToString::to_string).collect();
    Err(format!("{function}('{text}') names no table of this project; {}", suggest::hint(text, known.iter())))
}

/// The values that `env()` has answered, so that no message repeats one.
#[derive(Default, Clone)]
pub(crate) struct Secrets(Arc<Mutex<BTreeSet<String>>>);

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets")
    }
}

impl Secrets {
    fn recorded(&self, env: EnvLookup) -> EnvLookup {
        let seen = self.0.clone();
        Arc::new(move |name| {
            let value = env(name)?;
            seen.lock().unwrap_or_else(PoisonError::into_inner).insert(value.clone());
            Some(value)
        })
    }

    pub(crate) fn hide(&self, text: &str) -> String {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut values: Vec<&String> = seen.iter().filter(|value| value.len() > 2).collect();
        values.sort_by_key(|value| std::cmp::Reverse(value.len()));
        values.into_iter().fold(text.to_string(), |text, value| text.replace(value.as_str(), "***"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn renderer(macros: &[(&str, &str)]) -> Result<Renderer> {
        let macros = macros.iter().map(|(file, text)| (file.to_string(), text.to_string())).collect();
        let tables =
            ["raw.flights", "sanitized.flights", "sanitized.planes", "enhanced.delays", "enhanced.planes"];
        let tables = tables.iter().map(|name| name.parse().unwrap()).collect();
        let vars = BTreeMap::from([
            ("year".to_string(), serde_json::json!(2013)),
            ("codes".to_string(), serde_json::json!(["AA", "UA"])),
        ]);
        let env: EnvLookup = Arc::new(|name| (name == "TOKEN").then(|| "geheim".to_string()));
        Renderer::new(vars, env, &macros, tables)
    }

    fn render(source: &str) -> Result<Rendered> {
        let model = "enhanced.x".parse().unwrap();
        renderer(&[])?.model(&model, "enhanced/x.sql", source)
    }

    #[test]
    fn references_variables_and_loops_are_rendered() {
        let rendered = render(
            "SELECT {% for c in var('codes') %}'{{ c }}'{% if not loop.last %}, {% endif %}{% endfor %} \
             FROM {{ ref('delays') }} JOIN {{ source('raw', 'flights') }} -- {{ ref('sanitized.planes') }}, {{ this }}",
        )
        .unwrap();
        assert_eq!(
            rendered.sql,
            "SELECT 'AA', 'UA' FROM enhanced.delays JOIN raw.flights -- sanitized.planes, enhanced.x"
        );
        let refs: Vec<String> = rendered.refs.iter().map(ToString::to_string).collect();
        assert_eq!(refs, ["raw.flights", "sanitized.planes", "enhanced.delays"]);
    }

    #[test]
    fn wrong_references_say_what_is_there() {
        for (source, expected) in [
            ("{{ ref('delay') }}", "did you mean `delays`?"),
            ("{{ ref('planes') }}", "enhanced.planes or sanitized.planes"),
            ("{{ source('flihts') }}", "did you mean `raw.flights`?"),
            ("{{ var('yaer') }}", "did you mean `year`?"),
            ("{{ nothing }}", "undefined"),
            ("{{ config(materialized='view') }}", "beside the model"),
        ] {
            let error = render(&format!("SELECT 1\nFROM {source}")).unwrap_err();
            assert!(error.message().contains(expected), "{source}: {error}");
            let location = error.location().unwrap();
            assert_eq!((location.file.as_str(), location.line), ("enhanced/x.sql", 2), "{error}");
        }
    }

    #[test]
    fn places_lead_back_to_what_was_typed() {
        let source =
            "{% set cols = ['a',\n 'b'] %}\nSELECT {{ cols | join(',\n') }}\nFROM rwa.flights, {{ 'raw.b' }}";
        let rendered = render(source).unwrap();
        assert_eq!(rendered.sql, "\nSELECT a,\nb\nFROM rwa.flights, raw.b");
        assert_eq!(rendered.place(source, 4, 6), (5, 6));
        assert_eq!(rendered.place(source, 4, 19), (5, 22));
        assert_eq!(rendered.place(source, 2, 1), (3, 1));
    }

    #[test]
    fn macros_are_known_everywhere_and_call_each_other() {
        let renderer = renderer(&[
            ("macros/a.sql", "{% macro twice(x) %}{{ x }} + {{ once(x, sign='') }}{% endmacro %}"),
            (
                "macros/b.sql",
                "{% macro once(x, sign='-') -%}{{ sign }}{{ x }} /* {{ ref('delays') }} */{%- endmacro %}",
            ),
        ])
        .unwrap();
        let model = "enhanced.x".parse().unwrap();
        let rendered = renderer.model(&model, "enhanced/x.sql", "SELECT {{ twice('a') }}").unwrap();
        assert_eq!(rendered.sql, "SELECT a + a /* enhanced.delays */");
        assert_eq!(rendered.refs.len(), 1);
    }

    #[test]
    fn endless_macros_and_name_clashes_are_errors() {
        let macros = [(
            "macros/a.sql",
            "{% macro ping() %}{{ pong() }}{% endmacro %}{% macro pong() %}{{ ping() }}{% endmacro %}",
        )];
        let model = "enhanced.x".parse().unwrap();
        assert!(renderer(&macros).unwrap().model(&model, "enhanced/x.sql", "{{ ping() }}").is_err());
        let twice = renderer(&[
            ("macros/a.sql", "{% macro m() %}{% endmacro %}"),
            ("macros/b.sql", "\n{% macro m() %}{% endmacro %}"),
        ]);
        assert_eq!(
            twice.err().unwrap().to_string(),
            "macros/b.sql:2:1: the macro `m` is defined twice, also in macros/a.sql"
        );
        assert!(renderer(&[("macros/a.sql", "{% macro ref() %}{% endmacro %}")]).is_err());
        assert!(renderer(&[("macros/a.sql", "{% macro m() %}")]).is_err());
    }

    #[test]
    fn settings_keep_the_type_of_a_single_expression() {
        let mut value = serde_json::json!({"min": "{{ var('year') }}", "set": "{{ var('codes') }}", "text": "y{{ var('year') }}", "n": 1});
        renderer(&[]).unwrap().value(&mut value).unwrap();
        assert_eq!(value, serde_json::json!({"min": 2013, "set": ["AA", "UA"], "text": "y2013", "n": 1}));
    }

    #[test]
    fn secrets_never_appear_in_errors() {
        let error = render("SELECT {{ env('TOKEN') }} {{ ref(env('TOKEN')) }}").unwrap_err();
        assert!(!format!("{error:?}").contains("geheim"), "{error:?}");
        assert!(error.message().contains("***"), "{error}");
    }
}
