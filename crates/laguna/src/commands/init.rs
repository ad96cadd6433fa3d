//! `laguna init`: a small working project with its data.

use std::path::Path;

use laguna_base::{Error, Result};

use super::shown;
use crate::cli::InitArgs;
use crate::printer::Printer;
use crate::template;

/// Writes the template into a folder that is empty or does not exist.
pub fn execute(args: &InitArgs, printer: &Printer) -> Result<u8> {
    let dir = &args.dir;
    let taken = match std::fs::read_dir(dir) {
        // `git init` may come first.
        Ok(entries) => entries.flatten().any(|entry| entry.file_name() != ".git"),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
        Err(error) => return Err(Error::project(format!("{} cannot be used", shown(dir))).caused_by(error)),
    };
    if taken {
        return Err(Error::project(format!("{} is not empty", shown(dir)))
            .hint("name a folder that does not exist yet: laguna init my-lake"));
    }
    for (path, bytes) in template::FILES {
        write(&dir.join(path), bytes)?;
    }
    if printer.json {
        printer.json_line(
            &serde_json::json!({"event": "done", "project": shown(dir), "files": template::FILES.len()}),
        )?;
    } else {
        let step = match shown(dir) {
            here if here == "." => String::new(),
            dir if dir.contains([' ', '\'', '"', '$', '&', '(', ')', ';']) => {
                format!("  cd '{}'\n", dir.replace('\'', "'\\''"))
            }
            dir => format!("  cd {dir}\n"),
        };
        printer.say(&format!(
            "wrote {} files into {}\n\nnext:\n{step}  laguna run\n  laguna query \"SELECT * FROM enhanced.sales_daily LIMIT 5\"",
            template::FILES.len(),
            shown(dir),
        ));
    }
    Ok(0)
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let failed = |error| {
        Error::storage(format!("{} cannot be written", shown(path)))
            .caused_by(Box::new(error) as Box<std::io::Error>)
    };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    std::fs::write(path, bytes).map_err(failed)
}
