//! `laguna diff`: what changed between two releases.

use laguna_base::human::thousands;
use laguna_base::{Error, Result, TableName};
use laguna_run::diff;

use super::{load, open_lake};
use crate::cli::{DiffArgs, Global};
use crate::printer::Printer;

/// Compares two releases.
pub async fn execute(args: &DiffArgs, global: &Global, printer: &Printer) -> Result<u8> {
    let (_, engine) = open_lake(global).await?;
    let (mut numbers, mut tables): (Vec<u64>, Vec<TableName>) = (Vec::new(), Vec::new());
    for word in &args.what {
        match word.parse::<u64>() {
            Ok(number) => numbers.push(number),
            Err(_) => tables.push(word.parse()?),
        }
    }
    let newest = engine.lake().release().await?.map_or(0, |release| release.number);
    let (from, to) = match numbers.as_slice() {
        [] if newest >= 2 => (newest - 1, newest),
        [] => {
            return Err(Error::project(format!("there are {newest} releases: nothing to compare"))
                .hint("laguna run releases the project"));
        }
        [from] => (*from, newest),
        [from, to] => (*from, *to),
        _ => return Err(Error::project("more than two releases are named").hint("laguna diff 3 7 [TABLE…]")),
    };
    let project = load(global, printer).inspect_err(|error| {
        printer.warning(&format!("the project names no keys, whole rows are compared: {error}"));
    });
    let diffs = diff::diff(&engine, project.as_ref().ok(), from, to, &tables).await?;
    printer.say(&format!("release {from} -> release {to}"));
    let number = |value: Option<u64>| value.map(thousands).unwrap_or_default();
    let header = [
        "table",
        "change",
        "rows before",
        "rows after",
        "added",
        "removed",
        "changed",
        "key",
        "schema",
        "SQL",
    ];
    printer.list(args.output, &header, &diffs, |diff| {
        vec![
            diff.table.to_string(),
            diff.change.to_string(),
            number(diff.rows_before),
            number(diff.rows_after),
            number(diff.keys_added),
            number(diff.keys_removed),
            number(diff.keys_changed),
            diff.key.join(", "),
            diff.schema.join("; "),
            if diff.sql_changed { "changed".to_string() } else { String::new() },
        ]
    })?;
    Ok(0)
}
