//! `laguna completions`: the completion script of a shell.

use clap::CommandFactory;
use laguna_base::Result;

use crate::cli::{Cli, CompletionsArgs};
use crate::printer::Printer;

/// Prints the script.
pub fn execute(args: &CompletionsArgs, printer: &Printer) -> Result<u8> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "laguna", &mut script);
    printer.result(String::from_utf8_lossy(&script).trim_end())?;
    Ok(0)
}
