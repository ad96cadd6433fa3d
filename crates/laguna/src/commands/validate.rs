//! `laguna validate`: the whole project, without running it.

use laguna_base::Result;

use super::load;
use crate::cli::{Global, ValidateArgs};
use crate::printer::{Printer, count};

/// Loads everything; an error lists all that is wrong.
pub fn execute(_: &ValidateArgs, global: &Global, printer: &Printer) -> Result<u8> {
    let project = load(global, printer)?;
    for dataset in project.datasets.values() {
        for word in dataset.settings.columns.values() {
            laguna_ingest::parse_type(word).map_err(|error| error.at(&dataset.file, 0, 0))?;
        }
    }
    let checks: usize = project.models.values().map(|model| model.checks.len()).sum();
    if printer.json {
        printer.json_line(&serde_json::json!({
            "event": "done", "datasets": project.datasets.len(), "models": project.models.len(), "checks": checks,
            "warnings": project.warnings.iter().map(|warning| warning.to_string()).collect::<Vec<_>>(),
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
