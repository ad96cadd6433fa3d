//! `laguna rollback`: the state of an earlier release, published again.

use laguna_base::Result;
use laguna_base::human::count;
use laguna_run::{code, rollback};

use super::{open_lake, project_dir};
use crate::cli::{Global, RollbackArgs};
use crate::printer::Printer;

/// Rolls back.
pub async fn execute(args: &RollbackArgs, global: &Global, printer: &Printer) -> Result<u8> {
    let (_, engine) = open_lake(global).await?;
    let git_commit = code::git_commit(&project_dir(global)?);
    let tables = args.tables.iter().map(|name| name.parse()).collect::<Result<Vec<_>>>()?;
    let done = rollback::rollback(engine.lake(), git_commit, args.to, &tables, args.wait).await?;
    if printer.json {
        printer.json_line(
            &serde_json::json!({"event": "done", "release": done.release, "tables": done.tables}),
        )?;
        return Ok(0);
    }
    match done.release {
        Some(number) => {
            let names: Vec<String> = done.tables.iter().map(|name| name.to_string()).collect();
            printer.say(&format!(
                "release {number} publishes {} as in release {}: {}",
                count(names.len() as u64, "table"),
                args.to,
                names.join(", ")
            ));
            printer.say("the next run keeps them so until a model or its inputs change; `laguna run --full` builds them anyway");
        }
        None => printer.say(&format!("nothing to do: everything is as in release {}", args.to)),
    }
    Ok(0)
}
