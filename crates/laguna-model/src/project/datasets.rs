//! `raw/*.yml` read and checked, as far as it can be without looking at the data.

use std::collections::{BTreeMap, BTreeSet};

use laguna_base::settings::dataset::Mode;
use laguna_base::settings::{DatasetSettings, yaml};
use laguna_base::{Error, Result, TableName};

use super::Dataset;
use super::settings::zone;
use super::text::{File, Listing, place_of_key, place_of_text};
use crate::render::Renderer;

pub(super) fn load(
    listing: &Listing,
    renderer: &Renderer,
    errors: &mut Vec<Error>,
    warnings: &mut Vec<Error>,
) -> BTreeMap<TableName, Dataset> {
    let mut datasets = BTreeMap::new();
    for (name, file) in listing.datasets.iter().filter(|(_, file)| file.readable) {
        match one(name, file, renderer, warnings) {
            Ok(dataset) => drop(datasets.insert(name.clone(), dataset)),
            Err(mut found) => errors.append(&mut found),
        }
    }
    datasets
}

fn one(
    name: &TableName,
    file: &File,
    renderer: &Renderer,
    warnings: &mut Vec<Error>,
) -> Result<Dataset, Vec<Error>> {
    let mut settings: DatasetSettings = yaml::parse(&file.path, &file.text).map_err(|error| {
        vec![match error.message() {
            "the key `source` is missing" => {
                error.hint("say where its rows come from: source: {files: \"data/*.csv\"}")
            }
            "unknown key `postgres`"
            | "unknown key `mysql`"
            | "unknown key `sqlite`"
            | "unknown key `sqlserver`"
            | "unknown key `mongodb`"
            | "unknown key `http`"
            | "unknown key `kafka`"
            | "unknown key `media`" => {
                let place = error.location().cloned();
                let other = Error::project("sources other than files are not available in this version")
                    .hint("name files: source: {files: \"data/*.csv\"}");
                match place {
                    Some(place) => other.at_location(place),
                    None => other,
                }
            }
            _ => error,
        }]
    })?;
    let mut errors = Vec::new();
    let at = |error: Error, key: &str| {
        let (line, column) = place_of_key(&file.text, key);
        error.at(&file.path, line, column)
    };
    render(&mut settings, &mut |text| {
        let (line, column) = place_of_text(&file.text, text.as_str());
        match renderer.text(text) {
            Ok(rendered) => *text = rendered,
            Err(error) => errors.push(error.at(&file.path, line, column)),
        }
    });

    if settings.source.files.iter().all(|pattern| pattern.trim().is_empty()) {
        errors.push(at(
            Error::project("the dataset does not say where its rows come from")
                .hint("name its files: source: {files: \"data/*.csv\"}"),
            "source",
        ));
    }
    if let Some(Err(error)) = settings.source.timezone.as_deref().map(zone) {
        errors.push(at(error, "timezone"));
    }
    let mode = match settings.mode {
        Mode::Append => "append",
        Mode::Upsert => "upsert",
        Mode::Snapshot => "snapshot",
        Mode::Changes => "changes",
    };
    if settings.key.is_empty() && matches!(settings.mode, Mode::Upsert | Mode::Changes) {
        errors.push(at(
            Error::project(format!("mode `{mode}` needs a key"))
                .hint("name the columns that identify a row: key: [id]"),
            "mode",
        ));
    }
    let mut seen = BTreeSet::new();
    for column in settings.key.iter() {
        if column.trim().is_empty() {
            errors.push(at(Error::project("a column of `key` has no name"), "key"));
        } else if !seen.insert(column) {
            errors.push(at(Error::project(format!("`{column}` stands twice in `key`")), "key"));
        }
    }
    for (key, value) in [("order", &settings.order), ("op", &settings.op)] {
        if value.as_ref().is_some_and(|column| column.trim().is_empty()) {
            errors.push(at(Error::project(format!("`{key}` has no column")), key));
        }
    }
    if settings.op.is_some() && settings.mode != Mode::Changes {
        warnings.push(at(
            Error::project(format!("`op` has no effect with mode `{mode}`"))
                .hint("write mode: changes if the rows say insert, update or delete"),
            "op",
        ));
    }
    if settings.order.is_some() && settings.key.is_empty() {
        warnings.push(at(
            Error::project("`order` has no effect without a key")
                .hint("name the columns that identify a row: key: [id]"),
            "order",
        ));
    }
    if errors.is_empty() {
        Ok(Dataset { name: name.clone(), file: file.path.clone(), settings })
    } else {
        Err(errors)
    }
}

/// Hands every text of the settings that may hold a template to `each`.
fn render(settings: &mut DatasetSettings, each: &mut dyn FnMut(&mut String)) {
    let csv = &mut settings.source.csv;
    let single = [
        &mut settings.description,
        &mut settings.owner,
        &mut settings.order,
        &mut settings.op,
        &mut settings.source.timezone,
        &mut csv.delimiter,
        &mut csv.quote,
        &mut csv.encoding,
    ];
    single.into_iter().flatten().for_each(&mut *each);
    settings.tags.iter_mut().for_each(&mut *each);
    settings.key.0.iter_mut().for_each(&mut *each);
    settings.source.files.0.iter_mut().for_each(&mut *each);
    csv.nulls.iter_mut().flatten().for_each(&mut *each);
    settings.columns.values_mut().for_each(&mut *each);
}
