//! `sanitized/*.sql` and `enhanced/*.sql` with the settings beside them: rendered, parsed, and their tables found.

use std::collections::{BTreeMap, BTreeSet};

use laguna_base::settings::table::{CheckEntry, Materialize, OnFail};
use laguna_base::settings::{TableSettings, parse_duration, yaml};
use laguna_base::{Error, Result, TableName, Tier, suggest};
use laguna_check::CheckSpec;
use laguna_query::timetravel;

use super::folder::in_parallel;
use super::text::{File, Listing, place_of_key, place_of_text};
use super::{Model, Names, nearest_table, node_of, suites};
use crate::deps::{self, RANDOM_FUNCTIONS, TableRead};
use crate::render::{Origin, Renderer};

/// What became of one model.
struct Outcome {
    model: Option<Model>,
    errors: Vec<Error>,
    warnings: Vec<Error>,
}

pub(super) fn load(
    listing: &Listing,
    names: &Names,
    renderer: &Renderer,
    errors: &mut Vec<Error>,
    warnings: &mut Vec<Error>,
) -> BTreeMap<TableName, Model> {
    for (name, file) in &listing.settings {
        if !listing.models.contains_key(name) {
            errors.push(without_model(name, file, listing));
        }
    }
    let work: Vec<(&TableName, &File)> = listing.models.iter().filter(|(_, file)| file.readable).collect();
    let outcomes =
        in_parallel(&work, |(name, file)| one(name, file, listing.settings.get(*name), names, renderer));
    let mut models = BTreeMap::new();
    for mut outcome in outcomes {
        errors.append(&mut outcome.errors);
        warnings.append(&mut outcome.warnings);
        if let Some(model) = outcome.model {
            models.insert(model.name.clone(), model);
        }
    }
    models
}

fn without_model(name: &TableName, file: &File, listing: &Listing) -> Error {
    let tables: Vec<String> = listing
        .models
        .keys()
        .filter(|model| model.tier == name.tier && !listing.settings.contains_key(*model))
        .map(|model| format!("{}.yml", model.path()))
        .collect();
    let hint = match suggest::nearest(&file.path, tables.iter()) {
        Some(near) => format!("should it be {near}?"),
        None => format!("write the SELECT into {}.sql, or remove this file", name.path()),
    };
    Error::project(format!("there is no {}.sql beside these settings", name.path()))
        .at(&file.path, 0, 0)
        .hint(hint)
}

fn one(
    name: &TableName,
    file: &File,
    settings_file: Option<&File>,
    names: &Names,
    renderer: &Renderer,
) -> Outcome {
    let mut errors = Vec::new();
    let mut warnings = Vec::new();
    let Beside { settings, checks, check_inputs } = match settings_file {
        Some(beside) if beside.readable => {
            settings(name, beside, names, renderer, &mut errors, &mut warnings)
        }
        _ => Default::default(),
    };
    let sql = match sql(name, file, names, renderer, &mut warnings) {
        Ok(sql) => Some(sql),
        Err(mut found) => {
            errors.append(&mut found);
            None
        }
    };
    let model = sql.map(|sql| Model {
        name: name.clone(),
        file: file.path.clone(),
        source: file.text.clone(),
        sql: sql.rendered,
        sql_hash: sql.hash,
        check_inputs: check_inputs.difference(&sql.inputs).cloned().collect(),
        inputs: sql.inputs,
        settings,
        checks,
        settings_file: settings_file.map(|file| file.path.clone()),
        volatile: sql.volatile,
        places: sql.places,
        origin: sql.origin,
        secrets: renderer.secrets(),
    });
    if let Some(model) = model.as_ref().filter(|model| model.is_view())
        && model.sql != model.source
        && model.without_secrets(&model.sql) != model.sql
    {
        let (line, column) = place_of_text(&file.text, "env(");
        errors.push(
            Error::project("a view cannot use a value of the environment: a release keeps its SQL")
                .at(&file.path, line, column)
                .hint("use materialize: table, or var() for what is no secret"),
        );
    }
    Outcome { model, errors, warnings }
}

/// The SQL half of a model.
struct Sql {
    rendered: String,
    hash: String,
    inputs: BTreeSet<TableName>,
    places: BTreeMap<TableName, (usize, usize)>,
    volatile: Vec<String>,
    origin: Origin,
}

fn sql(
    name: &TableName,
    file: &File,
    names: &Names,
    renderer: &Renderer,
    warnings: &mut Vec<Error>,
) -> Result<Sql, Vec<Error>> {
    let rendered =
        renderer.model(name, &file.path, &file.text).map_err(|error| vec![error.at(&file.path, 0, 0)])?;
    // Phrases of time travel become pinned names: the rest of the text keeps its place.
    let plain = timetravel::rewrite(&rendered.sql).map_err(|error| {
        let (line, column) = error.location().map_or((0, 0), |place| (place.line, place.column));
        let (line, column) = rendered.place(&file.text, line, column);
        let clean = Error::project(renderer.without_secrets(error.message())).at(&file.path, line, column);
        vec![match error.hint_text() {
            Some(hint) => clean.hint(hint),
            None => clean,
        }]
    })?;
    let reads = deps::read(&plain).map_err(|refusal| {
        let (line, column) = rendered.place(&file.text, refusal.line, refusal.column);
        let error = Error::project(renderer.without_secrets(&refusal.message)).at(&file.path, line, column);
        vec![match refusal.hint {
            Some(hint) => error.hint(hint),
            None => error,
        }]
    })?;
    let mut errors = Vec::new();
    let mut places = BTreeMap::new();
    for read in &reads.tables {
        let (line, column) = rendered.place(&file.text, read.line, read.column);
        match table(name, read, names) {
            Ok(table) => drop(places.entry(table).or_insert((line, column))),
            Err(error) => errors.push(error.at(&file.path, line, column)),
        }
    }
    for table in rendered.refs {
        // `ref()` in a comment declares what the SQL does not show.
        if let Err(error) = allowed(name, &table, names) {
            errors.push(error.at(&file.path, 0, 0));
        }
        places.entry(table).or_insert((0, 0));
    }
    if !errors.is_empty() {
        errors.dedup_by(|a, b| a.to_string() == b.to_string());
        return Err(errors);
    }
    let random: Vec<&str> = reads
        .volatile
        .iter()
        .map(String::as_str)
        .filter(|function| RANDOM_FUNCTIONS.contains(function))
        .collect();
    if let Some(function) = random.first() {
        let (line, column) = place_of_text(&file.text.to_lowercase(), function);
        warnings.push(
            Error::project(format!(
                "`{function}` gives another answer each time, so this table cannot be rebuilt alike"
            ))
            .at(&file.path, line, column)
            .hint("take a hash of the row's key instead, as md5(id::text)"),
        );
    }
    Ok(Sql {
        rendered: rendered.sql,
        hash: reads.hash,
        inputs: places.keys().cloned().collect(),
        places,
        volatile: reads.volatile,
        origin: rendered.origin,
    })
}

/// The table that `read` names, if the model `name` may read it.
fn table(name: &TableName, read: &TableRead, names: &Names) -> Result<TableName> {
    let written = read.parts.join(".");
    let [tier, table] = read.parts.as_slice() else {
        let table = read.parts.last().map(String::as_str).unwrap_or_default();
        let twins: Vec<String> =
            names.all.iter().filter(|known| known.table == table).map(ToString::to_string).collect();
        let problem = match read.parts.len() {
            1 => format!("`{written}` lacks its tier"),
            _ => format!("`{written}` has too many parts"),
        };
        return Err(Error::project(problem).hint(match twins.as_slice() {
            [] => format!("write tier.table; {}", nearest_table(&written, &names.all)),
            twins => format!("write {}", twins.join(" or ")),
        }));
    };
    let tier: Tier = match tier.parse() {
        Ok(tier) => tier,
        Err(_) if tier == "information_schema" || tier == "pg_catalog" => {
            return Err(Error::project(format!("a model cannot read `{written}`"))
                .hint("the catalog is not data of the lake; `laguna query` can read it"));
        }
        Err(error) => {
            return Err(match suggest::nearest(tier, &Tier::ALL.map(Tier::as_str)) {
                Some(near) => Error::project(error.message()).hint(format!("did you mean `{near}.{table}`?")),
                None => error,
            });
        }
    };
    let unknown =
        |kind: &str, hint: String| Error::project(format!("there is no {kind} `{written}`")).hint(hint);
    let Ok(found) = TableName::new(tier, table.as_str()) else {
        return Err(unknown("table", nearest_table(&written.to_lowercase(), &names.all)));
    };
    let node = node_of(&found);
    match (tier, node) {
        (Tier::System, _) => {}
        (_, Some(node)) if names.all.contains(&node) => {}
        (Tier::Raw | Tier::Latest, _) => {
            return Err(unknown("dataset", raw_hint(&found, names)));
        }
        (Tier::Quarantine, _) => {
            let known: Vec<String> = names.all.iter().map(|known| known.quarantine().to_string()).collect();
            return Err(unknown("table", suggest::hint(&written, known.iter())));
        }
        _ => return Err(unknown("model", nearest_table(&written, &names.all))),
    }
    allowed(name, &found, names)?;
    Ok(found)
}

fn raw_hint(wanted: &TableName, names: &Names) -> String {
    let raw: BTreeSet<TableName> =
        names.all.iter().filter(|known| known.tier == Tier::Raw).cloned().collect();
    let near = names.all.iter().any(|known| known.table == wanted.table);
    match (near, raw.is_empty()) {
        (true, _) => nearest_table(&wanted.to_string(), &names.all),
        (_, true) => format!("describe where it comes from in raw/{}.yml", wanted.table),
        _ => {
            let known: Vec<String> = raw
                .iter()
                .map(|known| TableName { tier: wanted.tier, ..known.clone() }.to_string())
                .collect();
            suggest::hint(&wanted.to_string(), known.iter())
        }
    }
}

/// Whether the model `name` may read `table`, which exists.
fn allowed(name: &TableName, table: &TableName, names: &Names) -> Result<()> {
    let node = node_of(table);
    if node.as_ref() == Some(name) {
        return Err(Error::project(format!("{name} reads itself")).hint(
            "an incremental model needs no such read: with watermark and lookback only new rows are computed",
        ));
    }
    if name.tier == Tier::Sanitized && node.as_ref().is_some_and(|node| node.tier == Tier::Enhanced) {
        return Err(Error::project(format!("a sanitized model cannot read {table}")).hint(format!(
            "enhanced is built on sanitized: move this model to enhanced/{}.sql",
            name.table
        )));
    }
    if table.tier == Tier::Latest
        && let Some(dataset) = node.and_then(|node| names.datasets.get(&node))
        && !dataset.has_latest()
    {
        return Err(Error::project(format!("{table} needs to know which rows are the same thing"))
            .hint(format!("name the key in {}: key: [id]; or read {}", dataset.file, dataset.name)));
    }
    Ok(())
}

/// What stands in the file beside a model.
#[derive(Default)]
struct Beside {
    settings: TableSettings,
    checks: Vec<CheckSpec>,
    /// Tables that the checks read.
    check_inputs: BTreeSet<TableName>,
}

fn settings(
    name: &TableName,
    file: &File,
    names: &Names,
    renderer: &Renderer,
    errors: &mut Vec<Error>,
    warnings: &mut Vec<Error>,
) -> Beside {
    let mut settings: TableSettings = match yaml::parse(&file.path, &file.text) {
        Ok(settings) => settings,
        Err(error) => {
            let bare = file.text.lines().any(|line| line.trim_end() == "materialize: incremental");
            errors.push(match bare && error.message().starts_with("expected mapping") {
                true => {
                    error.hint("an incremental model names its key: materialize: {incremental: {key: [id]}}")
                }
                false => error,
            });
            return Default::default();
        }
    };
    let before = errors.len();
    render(&mut settings, file, renderer, errors);
    let at = |error: Error, key: &str| {
        let (line, column) = place_of_key(&file.text, key);
        error.at(&file.path, line, column)
    };
    for key in settings.unused() {
        warnings.push(at(
            Error::project(format!("`{key}` has no effect in this version"))
                .hint("it is kept for later; remove it if you rely on it now"),
            key,
        ));
    }
    let is_view = settings.materialize == Materialize::View;
    if let Materialize::Incremental(incremental) = &settings.materialize {
        if incremental.key.iter().all(|column| column.trim().is_empty()) {
            let error = Error::project("an incremental model needs a key");
            errors.push(at(error.hint("name the columns that identify a row: key: [id]"), "incremental"));
        }
        if let Some(lookback) = &incremental.lookback {
            let understood =
                lookback.is_number() || lookback.as_str().is_some_and(|text| parse_duration(text).is_some());
            if !understood {
                let error = Error::project(format!("`lookback: {lookback}` is not understood"));
                errors.push(at(
                    error.hint("write a duration as 3d, or a number for a numeric watermark"),
                    "lookback",
                ));
            }
            if incremental.watermark.is_none() {
                let error = Error::project("`lookback` has no effect without a watermark");
                warnings
                    .push(at(error.hint("name the column that grows with time: watermark: day"), "lookback"));
            }
        }
    }
    if is_view && settings.on_fail == Some(OnFail::Quarantine) {
        let error = Error::project("a view holds no rows that could be set aside");
        errors.push(at(error.hint("use on_fail: block or warn, or materialize: table"), "on_fail"));
    }
    for (key, columns) in [("partition", &settings.partition), ("sort", &settings.sort)] {
        let mut seen = BTreeSet::new();
        if let Some(column) = columns.iter().find(|column| !seen.insert(column.as_str())) {
            errors.push(at(Error::project(format!("`{column}` stands twice in `{key}`")), key));
        }
        if is_view && !columns.is_empty() {
            warnings.push(at(
                Error::project(format!("`{key}` has no effect on a view")).hint("use materialize: table"),
                key,
            ));
        }
    }
    let (checks, check_inputs) = if errors.len() == before {
        checks(name, &settings, file, names, errors)
    } else {
        Default::default()
    };
    Beside { settings, checks, check_inputs }
}

/// Renders every text of the settings.
fn render(settings: &mut TableSettings, file: &File, renderer: &Renderer, errors: &mut Vec<Error>) {
    let mut each = |text: &mut String| match renderer.text(text) {
        Ok(rendered) => *text = rendered,
        Err(error) => {
            let (line, column) = place_of_text(&file.text, text);
            errors.push(error.at(&file.path, line, column));
        }
    };
    let single =
        [&mut settings.description, &mut settings.owner, &mut settings.engine, &mut settings.executor];
    single.into_iter().flatten().for_each(&mut each);
    settings.tags.iter_mut().for_each(&mut each);
    settings.targets.iter_mut().for_each(&mut each);
    settings.partition.0.iter_mut().for_each(&mut each);
    settings.sort.0.iter_mut().for_each(&mut each);
    for column in settings.columns.values_mut() {
        column.description.iter_mut().for_each(&mut each);
        column.tags.iter_mut().for_each(&mut each);
    }
    if let Materialize::Incremental(incremental) = &mut settings.materialize {
        incremental.key.0.iter_mut().for_each(&mut each);
        incremental.watermark.iter_mut().for_each(&mut each);
        if let Some(lookback) = &mut incremental.lookback
            && let Err(error) = renderer.value(lookback)
        {
            errors.push(error.at(&file.path, 0, 0));
        }
    }
    let of_columns = settings.columns.values_mut().flat_map(|column| column.checks.iter_mut());
    for check in settings.checks.iter_mut().chain(of_columns) {
        let CheckEntry(value) = &mut check.value;
        if let Err(error) = renderer.value(value) {
            errors.push(error.at(&file.path, check.line, check.column));
        }
    }
}

/// The checks, and the tables that they read besides the checked one.
fn checks(
    name: &TableName,
    settings: &TableSettings,
    file: &File,
    names: &Names,
    errors: &mut Vec<Error>,
) -> (Vec<CheckSpec>, BTreeSet<TableName>) {
    let mut inputs = BTreeSet::new();
    let before = errors.len();
    let (plain, from_suites) = suites::take(settings, &file.path, &names.suites, errors);
    let mut checks = match laguna_check::parse(&plain, &file.path) {
        Ok(checks) => checks,
        Err(error) => {
            errors.push(error);
            Vec::new()
        }
    };
    if errors.len() > before {
        return Default::default();
    }
    checks.extend(from_suites);
    for check in &checks {
        for parts in names_in(check) {
            match table_of_check(name, parts, names) {
                Ok(Some(table)) => drop(inputs.insert(table)),
                Ok(None) => {}
                Err(error) => errors.push(error.at_location(check.location().clone())),
            }
        }
    }
    (checks, inputs)
}

/// Tables that a check names besides `this`, as the parts of their names: also names that are no tables at all.
fn names_in(check: &CheckSpec) -> Vec<Vec<String>> {
    let parts = |text: &str| text.split('.').map(str::to_string).collect();
    match check.kwargs().get("to").and_then(|to| to.as_str()) {
        Some(to) => vec![parts(to)],
        None => check.references().iter().map(|table| parts(&table.to_string())).collect(),
    }
}

fn table_of_check(name: &TableName, parts: Vec<String>, names: &Names) -> Result<Option<TableName>> {
    if parts.join(".") == name.to_string() {
        return Ok(None);
    }
    // Checks may look anywhere: an enhanced table may vouch for a sanitized one.
    let anyone = TableName { tier: Tier::Enhanced, table: String::new() };
    table(&anyone, &TableRead { parts, line: 0, column: 0 }, names).map(Some)
}
