//! Runs: the list, and one run with its graph, the times of its tasks and its verdicts.

use std::collections::BTreeSet;

use askama::Template;
use axum::extract::Path;
use axum::response::Response;
use laguna_base::{TableName, human};

use super::draw::{self, Svg};
use super::home::{RunLine, class_of, severity_class};
use super::layout::{self, Node};
use super::ledger::{self, Task};
use super::page::{Broken, Frame, Reader, html};
use super::sight::Sight;
use super::text::{duration, full, whole};

/// Runs that are listed.
const MOST: usize = 100;

#[derive(Template)]
#[template(path = "runs.html")]
struct RunsPage {
    frame: Frame,
    runs: Vec<RunLine>,
}

#[derive(Template)]
#[template(path = "run.html")]
struct RunPage {
    frame: Frame,
    run: RunLine,
    started: String,
    /// How many tasks ended how.
    counts: Vec<(String, &'static str, usize)>,
    graph: Option<Svg>,
    tasks: Vec<TaskLine>,
    checks: Vec<CheckLine>,
    passed: usize,
}

struct TaskLine {
    node: TableName,
    outcome: String,
    class: &'static str,
    span: Svg,
    took: String,
    rows_in: String,
    rows: String,
    bytes: String,
    aside: String,
    attempts: i64,
    reason: String,
}

struct CheckLine {
    node: TableName,
    label: String,
    column: String,
    class: &'static str,
    severity: String,
    message: String,
    examples: Option<String>,
}

/// Answers `/runs`.
pub(super) async fn list(Reader(sight): Reader) -> Result<Response, Broken> {
    let release = sight.release().await?;
    let runs = ledger::runs(&sight, MOST).await?;
    let runs = runs.iter().map(|run| RunLine::new(&sight, run)).collect();
    html(&RunsPage { frame: Frame::new(&sight, "Runs", "runs", release.as_ref()), runs })
}

/// Answers `/runs/{run}`.
pub(super) async fn page(Reader(sight): Reader, Path(id): Path<String>) -> Result<Response, Broken> {
    let Some(run) = ledger::run(&sight, &id).await? else {
        return Err(Broken::not_found(format!("there is no run `{id}`")));
    };
    let release = sight.release().await?;
    let (tasks, checks) =
        tokio::try_join!(ledger::tasks(&sight, &run.id), ledger::checks_in(&sight, &run.id))?;
    let mut counts: Vec<(String, &'static str, usize)> = Vec::new();
    for task in &tasks {
        match counts.iter_mut().find(|(outcome, ..)| *outcome == task.outcome) {
            Some((.., count)) => *count += 1,
            None => counts.push((task.outcome.clone(), class_of(&task.outcome), 1)),
        }
    }
    counts.sort_by_key(|(outcome, class, _)| (*class != "bad", *class != "warn", outcome.clone()));
    let passed = checks.iter().filter(|check| check.success).count();
    let page = RunPage {
        frame: Frame::new(&sight, format!("Run {}", run.id), "runs", release.as_ref()),
        started: run.started.map(full).unwrap_or_default(),
        counts,
        graph: graph(&sight, &tasks),
        tasks: lines(&tasks, run.started.map(|at| at.as_micros()), run.seconds),
        checks: checks
            .iter()
            .filter(|check| !check.success)
            .map(|check| CheckLine {
                node: check.node.clone(),
                label: check.label.clone(),
                column: check.column.clone().unwrap_or_default(),
                class: severity_class(check),
                severity: check.severity.clone(),
                message: check.message.clone(),
                examples: check.examples.clone(),
            })
            .collect(),
        passed,
        run: RunLine::new(&sight, &run),
    };
    html(&page)
}

/// The tasks with their spans of the run's time.
fn lines(tasks: &[Task], started: Option<i64>, seconds: Option<f64>) -> Vec<TaskLine> {
    let begin = started
        .or_else(|| tasks.iter().filter_map(|task| Some(task.started?.as_micros())).min())
        .unwrap_or(0);
    let after = |task: &Task| task.started.map_or(0.0, |at| (at.as_micros() - begin) as f64 / 1e6);
    // A run that was killed has no end: then its last task is.
    let last = tasks.iter().map(|task| after(task) + task.seconds).fold(0.0, f64::max);
    let whole_run = seconds.unwrap_or(last).max(last).max(1e-6);
    tasks
        .iter()
        .map(|task| {
            let class = class_of(&task.outcome);
            let told = format!("{}: after {}, {}", task.node, duration(after(task)), duration(task.seconds));
            TaskLine {
                node: task.node.clone(),
                outcome: task.outcome.clone(),
                class,
                span: draw::span(class, after(task) / whole_run, task.seconds / whole_run, &told),
                took: duration(task.seconds),
                rows_in: task.rows_in.map(whole).unwrap_or_default(),
                rows: task.rows_out.map(whole).unwrap_or_default(),
                bytes: task
                    .bytes_out
                    .and_then(|bytes| u64::try_from(bytes).ok())
                    .map(human::bytes)
                    .unwrap_or_default(),
                aside: Some(task.quarantined).filter(|rows| *rows > 0).map(whole).unwrap_or_default(),
                attempts: task.attempts,
                reason: task.reason.clone(),
            }
        })
        .collect()
}

/// The tables of a run as a graph, each in the colour of its outcome.
fn graph(sight: &Sight, tasks: &[Task]) -> Option<Svg> {
    if tasks.len() < 2 {
        return None;
    }
    let index = |table: &TableName| tasks.iter().position(|task| task.node == *table);
    let mut edges = BTreeSet::new();
    for (to, task) in tasks.iter().enumerate() {
        edges.extend(
            sight.project.graph.upstream(&task.node).iter().filter_map(|input| Some((index(input)?, to))),
        );
    }
    let nodes = tasks
        .iter()
        .map(|task| Node {
            name: task.node.table.clone(),
            tier: format!("{} · {}", task.node.tier, task.outcome),
            href: format!("/tables/{}/{}", task.node.tier, task.node.table),
            title: format!("{}: {} {}", task.node, task.outcome, task.reason),
            class: class_of(&task.outcome),
            rows: Vec::new(),
        })
        .collect();
    Some(draw::graph(
        &layout::place(nodes, &edges, &BTreeSet::new()),
        "Tables of the run, from left to right",
    ))
}
