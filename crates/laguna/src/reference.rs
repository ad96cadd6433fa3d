//! The reference under `docs/reference`, generated from the code: commands, project files, checks. A test compares it.

use std::collections::BTreeMap;
use std::fmt::Write;

use clap::{Command, CommandFactory};

use crate::cli::Cli;

/// Path below `docs/reference` and text of each page.
pub fn pages() -> BTreeMap<String, String> {
    let mut pages = BTreeMap::new();
    pages.insert("commands.md".to_string(), commands());
    pages.insert("checks.md".to_string(), checks());
    for (name, schema) in laguna_model::json_schemas() {
        let text = serde_json::to_string_pretty(&schema).unwrap_or_default();
        pages.insert(name.to_string(), text + "\n");
    }
    pages
}

fn commands() -> String {
    let mut text =
        String::from("# Commands\n\nGenerated from the code; `laguna COMMAND --help` prints the same.\n");
    let mut cli = Cli::command().term_width(100);
    cli.build();
    section(&mut text, &mut cli.clone(), "laguna");
    for command in cli.get_subcommands_mut() {
        if command.get_name() != "help" {
            let name = format!("laguna {}", command.get_name());
            section(&mut text, command, &name);
        }
    }
    text
}

fn section(text: &mut String, command: &mut Command, name: &str) {
    let help = command.render_long_help().to_string();
    let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
    let _ = write!(text, "\n## {name}\n\n```text\n{}\n```\n", lines.join("\n").trim_end());
}

fn checks() -> String {
    let mut text = String::from(
        "# Checks\n\nGenerated from the code. Short names and Great Expectations' names are the same thing. Every check \
         also takes `severity` (critical, warning or info), `name`, `description`, `meta`, `notes` and `id`.\n",
    );
    text.push_str(
        "\n`mostly` is the share of rows, 0 to 1, that must pass: by default 1. `row_condition` says which rows are \
         looked at, before anything is counted: an object of Great Expectations (`comparison`, `nullity`, `and`, `or`, \
         `pass_through`), or a text, read as pandas reads it in `query` or, with `condition_parser: \
         great_expectations`, as `col(\"n\") > 1`. Any argument may be `{\"$PARAMETER\": \"limit - 1\"}`, which is \
         filled in when the suite runs.\n",
    );
    for kind in laguna_check::all() {
        let mut names: Vec<String> = kind.names().map(|name| format!("`{name}`")).collect();
        names.dedup();
        let _ =
            write!(text, "\n## {}\n\n{}.\n\nNames: {}.\n", kind.short, capital(kind.doc), names.join(", "));
        let also: Vec<&str> = [(kind.mostly, "`mostly`"), (kind.condition, "`row_condition`")]
            .into_iter()
            .filter_map(|(takes, name)| takes.then_some(name))
            .collect();
        if !also.is_empty() {
            let _ = write!(text, "\nTakes {}.\n", also.join(" and "));
        }
        if !kind.nulls.is_empty() {
            let _ = write!(text, "\nNulls: {}\n", kind.nulls);
        }
        if !kind.arguments.is_empty() {
            let _ = write!(text, "\n| argument | meaning | default |\n|---|---|---|\n");
            for argument in kind.arguments {
                let default = match (argument.required, argument.default) {
                    (true, _) => "needed".to_string(),
                    (false, "") => String::new(),
                    (false, default) => format!("`{default}`"),
                };
                let _ = writeln!(text, "| `{}` | {} | {default} |", argument.name, argument.doc);
            }
        }
        let _ = write!(text, "\n```yaml\nchecks:\n  - {}\n```\n", kind.example);
    }
    text
}

fn capital(text: &str) -> String {
    let mut characters = text.trim_end_matches('.').chars();
    characters
        .next()
        .map(|first| first.to_uppercase().collect::<String>() + characters.as_str())
        .unwrap_or_default()
}
