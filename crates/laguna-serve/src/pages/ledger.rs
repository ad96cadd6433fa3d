//! Rows of `system.runs`, `tasks`, `checks` and `metrics` as values, filtered to what a reader may know.

use laguna_base::{Instant, Result, TableName};

use super::sight::Sight;

/// One run.
#[derive(Debug, Clone)]
pub(super) struct Run {
    pub(super) id: String,
    pub(super) command: String,
    pub(super) selection: String,
    pub(super) started: Option<Instant>,
    pub(super) seconds: Option<f64>,
    pub(super) outcome: String,
    pub(super) owner: String,
    pub(super) release: Option<u64>,
    pub(super) error: Option<String>,
}

/// One table of one run.
#[derive(Debug, Clone)]
pub(super) struct Task {
    pub(super) run: String,
    pub(super) node: TableName,
    pub(super) outcome: String,
    pub(super) reason: String,
    pub(super) started: Option<Instant>,
    pub(super) seconds: f64,
    pub(super) attempts: i64,
    pub(super) rows_in: Option<i64>,
    pub(super) rows_out: Option<i64>,
    pub(super) bytes_out: Option<i64>,
    pub(super) quarantined: i64,
}

impl Task {
    /// Whether it did not do what it should.
    pub(super) fn is_trouble(&self) -> bool {
        matches!(self.outcome.as_str(), "failed" | "blocked" | "held")
    }
}

/// One verdict.
#[derive(Debug, Clone)]
pub(super) struct Check {
    pub(super) run: String,
    pub(super) node: TableName,
    pub(super) label: String,
    pub(super) column: Option<String>,
    pub(super) severity: String,
    pub(super) success: bool,
    pub(super) message: String,
    pub(super) examples: Option<String>,
    pub(super) time: Option<Instant>,
}

/// Values of one number about one table, oldest first.
#[derive(Debug, Clone)]
pub(super) struct Series {
    pub(super) node: TableName,
    pub(super) metric: String,
    pub(super) values: Vec<(f64, Option<Instant>, String)>,
}

/// A text as SQL writes it.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The newest runs. What was selected and what went wrong can name any table, so only who sees all is told.
pub(super) async fn runs(sight: &Sight, limit: usize) -> Result<Vec<Run>> {
    read_runs(sight, "", limit).await
}

/// One run by its id.
pub(super) async fn run(sight: &Sight, id: &str) -> Result<Option<Run>> {
    Ok(read_runs(sight, &format!("WHERE run = {}", literal(id)), 1).await?.pop())
}

async fn read_runs(sight: &Sight, condition: &str, limit: usize) -> Result<Vec<Run>> {
    let sql = format!("SELECT * FROM system.runs {condition} ORDER BY started DESC, run DESC LIMIT {limit}");
    let rows = sight.everything(&sql).await?;
    let (ids, commands, selections) = (rows.texts("run"), rows.texts("command"), rows.texts("selection"));
    let (started, seconds) = (rows.times("started"), rows.floats("seconds"));
    let (outcomes, owners, releases, errors) =
        (rows.texts("outcome"), rows.texts("owner"), rows.integers("release"), rows.texts("error"));
    let all = sight.is_unlimited();
    Ok((0..rows.len())
        .map(|row| Run {
            id: ids[row].clone().unwrap_or_default(),
            command: match all {
                true => commands[row].clone().unwrap_or_default(),
                // `rollback` and `run --as-of` are words; what follows could be a name.
                false => commands[row]
                    .as_deref()
                    .and_then(|text| text.split(' ').next())
                    .unwrap_or("run")
                    .to_string(),
            },
            selection: selections[row].clone().filter(|_| all).unwrap_or_default(),
            started: started[row],
            seconds: seconds[row],
            outcome: outcomes[row].clone().unwrap_or_default(),
            owner: owners[row].clone().filter(|_| all).unwrap_or_default(),
            release: releases[row].and_then(|number| u64::try_from(number).ok()),
            error: errors[row].clone().filter(|_| all),
        })
        .collect())
}

/// The tasks of a run, in the order in which they began.
pub(super) async fn tasks(sight: &Sight, run: &str) -> Result<Vec<Task>> {
    let run = literal(run);
    read_tasks(sight, &format!("SELECT * FROM system.tasks WHERE run = {run} ORDER BY started, node")).await
}

/// The newest task of each table.
pub(super) async fn newest_tasks(sight: &Sight) -> Result<Vec<Task>> {
    read_tasks(
        sight,
        "SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY node ORDER BY started DESC, run DESC) AS place \
         FROM system.tasks) WHERE place = 1 ORDER BY node",
    )
    .await
}

/// The newest tasks of one table.
pub(super) async fn tasks_of(sight: &Sight, table: &TableName, limit: usize) -> Result<Vec<Task>> {
    let node = literal(&table.to_string());
    read_tasks(
        sight,
        &format!("SELECT * FROM system.tasks WHERE node = {node} ORDER BY started DESC LIMIT {limit}"),
    )
    .await
}

async fn read_tasks(sight: &Sight, sql: &str) -> Result<Vec<Task>> {
    let rows = sight.everything(sql).await?;
    let (runs, nodes, outcomes, reasons) =
        (rows.texts("run"), rows.texts("node"), rows.texts("outcome"), rows.texts("reason"));
    let (started, seconds, attempts) =
        (rows.times("started"), rows.floats("seconds"), rows.integers("attempts"));
    let (rows_in, rows_out, bytes, aside) = (
        rows.integers("rows_in"),
        rows.integers("rows_out"),
        rows.integers("bytes_out"),
        rows.integers("quarantined"),
    );
    let all = sight.is_unlimited();
    Ok((0..rows.len())
        .filter_map(|row| {
            let node = sight.whole(nodes[row].as_deref()?)?;
            Some(Task {
                run: runs[row].clone().unwrap_or_default(),
                node,
                outcome: outcomes[row].clone().unwrap_or_default(),
                // A reason can name the table that a task has waited for.
                reason: reasons[row].clone().filter(|_| all).unwrap_or_default(),
                started: started[row],
                seconds: seconds[row].unwrap_or(0.0),
                attempts: attempts[row].unwrap_or(0),
                rows_in: rows_in[row].filter(|_| all),
                rows_out: rows_out[row],
                bytes_out: bytes[row],
                quarantined: aside[row].unwrap_or(0),
            })
        })
        .collect())
}

/// The verdicts of each table's newest version that was judged.
pub(super) async fn newest_checks(sight: &Sight) -> Result<Vec<Check>> {
    read_checks(
        sight,
        "SELECT * FROM (SELECT *, rank() OVER (PARTITION BY node ORDER BY time DESC, run DESC) AS place \
         FROM system.checks) WHERE place = 1 ORDER BY node, label",
    )
    .await
}

/// Verdicts about one table, newest first.
pub(super) async fn checks_of(sight: &Sight, table: &TableName) -> Result<Vec<Check>> {
    let node = literal(&table.to_string());
    read_checks(
        sight,
        &format!(
            "SELECT * FROM system.checks WHERE node = {node} ORDER BY time DESC, run DESC, label LIMIT 4000"
        ),
    )
    .await
}

/// Verdicts of one run.
pub(super) async fn checks_in(sight: &Sight, run: &str) -> Result<Vec<Check>> {
    let run = literal(run);
    read_checks(
        sight,
        &format!("SELECT * FROM system.checks WHERE run = {run} ORDER BY success, node, label"),
    )
    .await
}

async fn read_checks(sight: &Sight, sql: &str) -> Result<Vec<Check>> {
    let rows = sight.everything(sql).await?;
    let (runs, nodes, labels, columns, severities) = (
        rows.texts("run"),
        rows.texts("node"),
        rows.texts("label"),
        rows.texts("column"),
        rows.texts("severity"),
    );
    let (successes, messages, errors, examples, times) = (
        rows.flags("success"),
        rows.texts("message"),
        rows.texts("error"),
        rows.texts("examples"),
        rows.times("time"),
    );
    let all = sight.is_unlimited();
    Ok((0..rows.len())
        .filter_map(|row| {
            let node = sight.whole(nodes[row].as_deref()?)?;
            // Labels, messages and values can speak of another table that a check looks at.
            let shown = all || {
                let reads = sight.project.models.get(&node).map(|model| &model.check_inputs);
                reads.is_none_or(|tables| tables.iter().all(|table| sight.is_whole(table)))
            };
            let label = labels[row].clone().unwrap_or_default();
            Some(Check {
                run: runs[row].clone().unwrap_or_default(),
                label: if shown { label } else { "a check".to_string() },
                column: columns[row].clone().filter(|_| shown),
                severity: severities[row].clone().unwrap_or_default(),
                success: successes[row].unwrap_or(false),
                message: errors[row]
                    .clone()
                    .or_else(|| messages[row].clone())
                    .filter(|_| shown)
                    .unwrap_or_default(),
                examples: examples[row].clone().filter(|text| shown && text != "[]"),
                time: times[row],
                node,
            })
        })
        .collect())
}

/// The last values of each number about each table: at most `limit` a number.
pub(super) async fn metrics(sight: &Sight, limit: usize) -> Result<Vec<Series>> {
    read_metrics(sight, "", limit).await
}

/// The last values of each number about one table.
pub(super) async fn metrics_of(sight: &Sight, table: &TableName, limit: usize) -> Result<Vec<Series>> {
    read_metrics(sight, &format!("WHERE node = {}", literal(&table.to_string())), limit).await
}

async fn read_metrics(sight: &Sight, condition: &str, limit: usize) -> Result<Vec<Series>> {
    let sql = format!(
        "SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY node, metric ORDER BY time DESC, run DESC) AS place \
         FROM system.metrics {condition}) WHERE place <= {limit} ORDER BY node, metric, time, run"
    );
    let rows = sight.everything(&sql).await?;
    let (runs, nodes, metrics) = (rows.texts("run"), rows.texts("node"), rows.texts("metric"));
    let (values, times) = (rows.floats("value"), rows.times("time"));
    let mut all: Vec<Series> = Vec::new();
    for row in 0..rows.len() {
        let Some(node) = nodes[row].as_deref().and_then(|node| sight.whole(node)) else { continue };
        let (Some(metric), Some(value)) = (&metrics[row], values[row]) else { continue };
        let point = (value, times[row], runs[row].clone().unwrap_or_default());
        match all.last_mut() {
            Some(series) if series.node == node && series.metric == *metric => series.values.push(point),
            _ => all.push(Series { node, metric: metric.clone(), values: vec![point] }),
        }
    }
    Ok(all)
}

/// A value that is unlike those before it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Jump {
    pub(super) value: f64,
    /// The median of the values before.
    pub(super) usual: f64,
    /// How many values there were before.
    pub(super) of: usize,
}

/// Values before the newest that it takes to know what is usual.
const HISTORY: usize = 5;

/// Whether the newest value is unlike those before it: further from their median than four times their usual distance
/// from it (median absolute deviation, scaled to a standard deviation by 1.4826), and more than a tenth of the median.
pub(super) fn jump(values: &[f64]) -> Option<Jump> {
    let (value, before) = values.split_last()?;
    if before.len() < HISTORY || !value.is_finite() {
        return None;
    }
    let usual = median(before.to_vec())?;
    let spread = 1.4826 * median(before.iter().map(|one| (one - usual).abs()).collect())?;
    let distance = (value - usual).abs();
    (distance > (4.0 * spread).max(0.1 * usual.abs()) && distance > 0.0).then_some(Jump {
        value: *value,
        usual,
        of: before.len(),
    })
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        length if length % 2 == 0 => Some((values[middle - 1] + values[middle]) / 2.0),
        _ => Some(values[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_is_far_from_what_is_usual_and_needs_a_past() {
        let usual = [100.0, 104.0, 98.0, 101.0, 103.0, 99.0];
        let with = |last: f64| [&usual[..], &[last]].concat();
        assert_eq!(jump(&with(12.0)), Some(Jump { value: 12.0, usual: 100.5, of: 6 }));
        assert!(jump(&with(150.0)).is_some());
        for last in [100.0, 95.0, 109.0, f64::NAN] {
            assert_eq!(jump(&with(last)), None, "{last}");
        }
        // What has always been the same may move a little, and what grows steadily has a wide spread.
        assert_eq!(jump(&[50.0, 50.0, 50.0, 50.0, 50.0, 54.0]), None);
        assert!(jump(&[50.0, 50.0, 50.0, 50.0, 50.0, 60.0]).is_some());
        assert_eq!(jump(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]), None);
        assert_eq!(jump(&[1.0, 1.0, 1.0, 900.0]), None, "three values are no past");
        assert_eq!(jump(&[0.0, 0.0, 0.0, 0.0, 0.0, 0.0]), None);
    }

    #[test]
    fn a_text_cannot_leave_its_quotes() {
        assert_eq!(literal("a' OR '1'='1"), "'a'' OR ''1''=''1'");
    }
}
