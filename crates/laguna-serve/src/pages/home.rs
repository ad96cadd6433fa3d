//! The home page: what is wrong, what is unusual, and every table with its age.

use std::collections::BTreeMap;

use askama::Template;
use axum::response::Response;
use laguna_base::{Instant, Result, TableName, Tier};
use laguna_store::Release;

use super::draw::{self, Svg};
use super::ledger::{self, Check, Run, Series, Task};
use super::page::{Broken, Frame, Reader, html};
use super::sight::Sight;
use super::text::{When, duration, short, whole};

#[derive(Template)]
#[template(path = "home.html")]
struct HomePage {
    frame: Frame,
    /// The newest run.
    run: Option<RunLine>,
    troubles: Vec<Trouble>,
    unusual: Vec<Unusual>,
    tiers: Vec<TierView>,
    /// Checks that were judged, of all tables.
    checks: usize,
    tables: usize,
}

/// A run in one line.
pub(super) struct RunLine {
    pub(super) id: String,
    pub(super) outcome: String,
    pub(super) class: &'static str,
    pub(super) started: Option<When>,
    pub(super) took: Option<String>,
    pub(super) command: String,
    pub(super) selection: String,
    pub(super) release: Option<u64>,
    pub(super) error: Option<String>,
    pub(super) owner: String,
}

impl RunLine {
    pub(super) fn new(sight: &Sight, run: &Run) -> RunLine {
        RunLine {
            id: run.id.clone(),
            outcome: run.outcome.clone(),
            class: class_of(&run.outcome),
            started: run.started.map(|at| sight.when(at)),
            took: run.seconds.map(duration),
            command: run.command.clone(),
            selection: run.selection.clone(),
            release: run.release,
            error: run.error.clone(),
            owner: run.owner.clone(),
        }
    }
}

/// The class that colours an outcome.
pub(super) fn class_of(outcome: &str) -> &'static str {
    match outcome {
        "done" | "built" | "landed" | "ok" => "ok",
        "failed" | "killed" | "blocked" => "bad",
        "held" | "interrupted" => "warn",
        "running" => "live",
        _ => "quiet",
    }
}

/// Something that somebody should look at.
struct Trouble {
    class: &'static str,
    word: String,
    table: Option<TableName>,
    text: String,
    href: String,
    when: Option<When>,
}

/// A number unlike those before it.
struct Unusual {
    table: TableName,
    metric: String,
    value: String,
    usual: String,
    of: usize,
    line: Svg,
    run: String,
    when: Option<When>,
}

struct TierView {
    tier: Tier,
    means: &'static str,
    /// Shown when it is asked for: few look there.
    quiet: bool,
    entries: Vec<Entry>,
}

/// One table of the list.
struct Entry {
    name: TableName,
    description: String,
    owner: String,
    tags: Vec<String>,
    rows: String,
    changed: Option<When>,
    /// Class and text of the state of its checks.
    checks: Option<(&'static str, String)>,
    held: bool,
    built: bool,
}

/// Answers `/`.
pub(super) async fn page(Reader(sight): Reader) -> Result<Response, Broken> {
    let release = sight.release().await?;
    let (runs, tasks, checks, metrics) = tokio::try_join!(
        ledger::runs(&sight, 20),
        ledger::newest_tasks(&sight),
        ledger::newest_checks(&sight),
        ledger::metrics(&sight, 30),
    )?;
    let tiers = tiers(&sight, release.as_ref(), &checks).await?;
    let page = HomePage {
        run: runs.first().map(|run| RunLine::new(&sight, run)),
        troubles: troubles(&sight, runs.first(), &tasks, &checks, release.as_ref()),
        unusual: metrics.iter().filter_map(|series| unusual(&sight, series)).collect(),
        checks: checks.len(),
        tables: tiers.iter().map(|tier| tier.entries.len()).sum(),
        tiers,
        frame: Frame::new(&sight, "Home", "home", release.as_ref()),
    };
    html(&page)
}

fn troubles(
    sight: &Sight,
    run: Option<&Run>,
    tasks: &[Task],
    checks: &[Check],
    release: Option<&Release>,
) -> Vec<Trouble> {
    let mut all = Vec::new();
    if let Some(run) = run
        && class_of(&run.outcome) != "ok"
        && run.outcome != "running"
    {
        all.push(Trouble {
            class: class_of(&run.outcome),
            word: format!("run {}", run.outcome),
            table: None,
            text: run.error.clone().unwrap_or_default(),
            href: format!("/runs/{}", run.id),
            when: run.started.map(|at| sight.when(at)),
        });
    }
    for task in tasks.iter().filter(|task| task.is_trouble()) {
        all.push(Trouble {
            class: class_of(&task.outcome),
            word: task.outcome.clone(),
            table: Some(task.node.clone()),
            text: task.reason.clone(),
            href: format!("/runs/{}", task.run),
            when: task.started.map(|at| sight.when(at)),
        });
    }
    let told: Vec<TableName> = all.iter().filter_map(|trouble| trouble.table.clone()).collect();
    for (name, table) in release.iter().flat_map(|release| &release.tables) {
        if let Some(why) = &table.held
            && sight.is_whole(name)
            && !told.contains(name)
        {
            all.push(Trouble {
                class: "warn",
                word: "held".to_string(),
                table: Some(name.clone()),
                text: if sight.is_unlimited() { why.clone() } else { String::new() },
                href: format!("/releases/{}", table.since),
                when: None,
            });
        }
    }
    for check in checks.iter().filter(|check| !check.success) {
        all.push(Trouble {
            class: severity_class(check),
            word: "check".to_string(),
            table: Some(check.node.clone()),
            text: match check.message.is_empty() {
                true => check.label.clone(),
                false => format!("{}: {}", check.label, check.message),
            },
            href: format!("/runs/{}", check.run),
            when: check.time.map(|at| sight.when(at)),
        });
    }
    // What is worst stands first; the rest stays as it is sorted.
    all.sort_by_key(|trouble| trouble.class != "bad");
    all
}

/// The class that colours a verdict.
pub(super) fn severity_class(check: &Check) -> &'static str {
    match (check.success, check.severity.as_str()) {
        (true, _) => "ok",
        (false, "critical") => "bad",
        (false, _) => "warn",
    }
}

fn unusual(sight: &Sight, series: &Series) -> Option<Unusual> {
    // How long a task took says more about the machine than about the data.
    if series.metric == "seconds" || series.metric == "bytes_read" {
        return None;
    }
    let values: Vec<f64> = series.values.iter().map(|(value, ..)| *value).collect();
    let jump = ledger::jump(&values)?;
    let (_, time, run) = series.values.last()?;
    let name = format!("{} of {}", series.metric, series.node);
    Some(Unusual {
        table: series.node.clone(),
        metric: series.metric.replace('_', " "),
        value: short(jump.value),
        usual: short(jump.usual),
        of: jump.of,
        line: draw::spark(&values, &name),
        run: run.clone(),
        when: time.map(|at| sight.when(at)),
    })
}

async fn tiers(sight: &Sight, release: Option<&Release>, checks: &[Check]) -> Result<Vec<TierView>> {
    let known = super::search::tables(sight, release).await?;
    let fresh = sight.everything("SELECT \"table\", changed_at, \"rows\" FROM system.freshness").await?;
    let (names, changed, rows) = (fresh.texts("table"), fresh.times("changed_at"), fresh.integers("rows"));
    let fresh: BTreeMap<String, (Option<Instant>, Option<i64>)> =
        names.into_iter().flatten().zip(changed.into_iter().zip(rows)).collect();
    let mut tiers = Vec::new();
    for (tier, means) in [
        (Tier::Enhanced, "ready to use"),
        (Tier::Sanitized, "cleaned and typed"),
        (Tier::Latest, "the newest row of each key"),
        (Tier::Raw, "as it came"),
        (Tier::Quarantine, "rows set aside, with the reason"),
        (Tier::System, "what Laguna knows about itself"),
    ] {
        let entries: Vec<Entry> = known
            .iter()
            .filter(|(name, _)| name.tier == tier)
            .map(|(name, built)| {
                let about = sight.about(name);
                let whole_table = sight.is_whole(name);
                // The newest rows of keys change when the raw table does.
                let of = if tier == Tier::Latest {
                    TableName { tier: Tier::Raw, ..name.clone() }
                } else {
                    name.clone()
                };
                let (changed, rows) = fresh.get(&of.to_string()).copied().unwrap_or_default();
                let rows = rows.filter(|_| whole_table && tier != Tier::Latest);
                Entry {
                    description: about.description.unwrap_or_default(),
                    owner: about.owner.unwrap_or_default(),
                    tags: about.tags,
                    rows: rows.map(whole).unwrap_or_default(),
                    changed: changed.filter(|_| whole_table).map(|at| sight.when(at)),
                    checks: state_of(checks.iter().filter(|check| check.node == *name)),
                    held: whole_table
                        && release
                            .and_then(|release| release.tables.get(name))
                            .is_some_and(|table| table.held.is_some()),
                    built: *built,
                    name: name.clone(),
                }
            })
            .collect();
        if !entries.is_empty() {
            tiers.push(TierView { tier, means, quiet: tier == Tier::System, entries });
        }
    }
    Ok(tiers)
}

/// How the checks of a table stand, in a class and a few words.
pub(super) fn state_of<'a>(checks: impl Iterator<Item = &'a Check>) -> Option<(&'static str, String)> {
    let (mut all, mut bad, mut warn) = (0, 0, 0);
    for check in checks {
        all += 1;
        match severity_class(check) {
            "bad" => bad += 1,
            "warn" => warn += 1,
            _ => {}
        }
    }
    Some(match (all, bad, warn) {
        (0, ..) => return None,
        (_, 0, 0) => ("ok", format!("{all} passed")),
        (_, 0, warn) => ("warn", format!("{warn} of {all} warn")),
        (_, bad, 0) => ("bad", format!("{bad} of {all} failed")),
        (_, bad, warn) => ("bad", format!("{bad} of {all} failed, {warn} warn")),
    })
}
