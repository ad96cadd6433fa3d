//! `laguna validate`: the whole project, without running it.

use laguna_base::Result;
use laguna_base::human::count;

use super::load;
use crate::cli::{Global, ValidateArgs};
use crate::printer::Printer;

/// Loads everything; an error lists all that is wrong.
pub fn execute(_: &ValidateArgs, global: &Global, printer: &Printer) -> Result<u8> {
    let project = load(global, printer)?;
    laguna_run::schedule::Schedule::of(&project)?;
    let mut warnings: Vec<String> = project.warnings.iter().map(|warning| warning.to_string()).collect();
    for dataset in project.datasets.values() {
        let found = laguna_ingest::discover(&project.dir, &dataset.settings.source).map_err(|error| {
            let (line, column) = project.place_of_key(&dataset.file, "files");
            error.at(&dataset.file, line, column)
        })?;
        for pattern in found.unmatched {
            let warning = format!("{}: no file matches {pattern}", dataset.file);
            printer.warning(&warning);
            warnings.push(warning);
        }
    }
    let checks: usize = project.models.values().map(|model| model.checks.len()).sum();
    if printer.json {
        printer.json_line(&serde_json::json!({
            "event": "done", "datasets": project.datasets.len(), "models": project.models.len(), "checks": checks,
            "warnings": warnings,
        }))?;
    } else {
        printer.say(&format!(
            "the project {} is valid: {}, {}, {}",
            project.name,
            count(project.datasets.len() as u64, "dataset"),
            count(project.models.len() as u64, "model"),
            count(checks as u64, "check")
        ));
    }
    Ok(0)
}
