//! When a project runs by itself: cron expressions in the project's time zone, and the loop that follows them.
//!
//! `schedule:` of `laguna.yml` is for everything but datasets that have a schedule of their own; such a dataset lands at its times,
//! and what hangs on it is built then. What falls due together runs together. What falls due while a run goes on runs once
//! when that has ended; what fell due while no server ran is not made up for.

use std::str::FromStr;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use croner::Cron;
use laguna_base::{Clock, Error, Instant, Result, TableName};
use laguna_model::Project;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::Context;
use crate::run::{RunOptions, RunReport, run};

/// The longest sleep: a clock that was set, or a machine that slept, is noticed after it.
const NAP: std::time::Duration = std::time::Duration::from_secs(30);

/// The times of a project.
#[derive(Debug)]
pub struct Schedule {
    zone: Tz,
    project: Option<Cron>,
    datasets: Vec<(TableName, Cron)>,
}

/// What falls due at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// When.
    pub at: Instant,
    /// What runs, in dbt's words; empty for everything.
    pub select: Vec<String>,
    /// What does not.
    pub exclude: Vec<String>,
}

impl Schedule {
    /// The schedules of `project`; an expression that is none is an error with its place.
    pub fn of(project: &Project) -> Result<Schedule> {
        let parsed = |file: &str, text: &str| {
            Cron::from_str(text.trim()).map_err(|error| {
                let (line, column) = project.place_of_key(file, "schedule");
                Error::project(format!("`{text}` is not a schedule"))
                    .at(file, line, column)
                    .hint("write five fields: minute, hour, day, month, weekday, as \"0 6 * * *\"")
                    .caused_by(error)
            })
        };
        let whole = project.schedule.as_deref().map(|text| parsed(laguna_model::project::PROJECT_FILE, text));
        let datasets = project.datasets.values().filter_map(|dataset| {
            let text = dataset.settings.schedule.as_deref()?;
            Some(parsed(&dataset.file, text).map(|cron| (dataset.name.clone(), cron)))
        });
        let datasets = datasets.collect::<Result<Vec<_>>>()?;
        Ok(Schedule { zone: project.timezone, project: whole.transpose()?, datasets })
    }

    /// Whether nothing ever falls due.
    pub fn is_empty(&self) -> bool {
        self.project.is_none() && self.datasets.is_empty()
    }

    /// What falls due first after `after`; `None` when nothing ever does.
    pub fn next(&self, after: Instant) -> Option<Due> {
        let start = after.to_datetime().with_timezone(&self.zone);
        let next = |cron: &Cron| -> Option<DateTime<Utc>> {
            cron.find_next_occurrence(&start, false).ok().map(|time| time.with_timezone(&Utc))
        };
        let whole = self.project.as_ref().and_then(next);
        let datasets: Vec<_> =
            self.datasets.iter().filter_map(|(name, cron)| Some((name, next(cron)?))).collect();
        let at = whole.into_iter().chain(datasets.iter().map(|(_, time)| *time)).min()?;
        let (due, later): (Vec<_>, Vec<_>) = datasets.into_iter().partition(|(_, time)| *time == at);
        let of_project = whole == Some(at);
        Some(Due {
            at: Instant::from_micros(at.timestamp_micros()),
            select: match of_project {
                true => Vec::new(),
                false => due.iter().map(|(name, _)| format!("{name}+")).collect(),
            },
            exclude: match of_project {
                true => later.iter().map(|(name, _)| name.to_string()).collect(),
                false => Vec::new(),
            },
        })
    }
}

/// Follows the schedules of the project, as its files are at each time, until `stop`. `open` makes what a run needs; `told` hears how
/// each run ended.
pub async fn follow<O, F>(
    mut project: watch::Receiver<Arc<Project>>,
    clock: Arc<dyn Clock>,
    open: O,
    told: impl Fn(&Due, &Result<RunReport>),
    stop: CancellationToken,
) -> Result<()>
where
    O: Fn(Arc<Project>) -> F,
    F: Future<Output = Result<Context>>,
{
    let mut since = clock.now();
    loop {
        let current = project.borrow_and_update().clone();
        // A schedule that cannot be read was told when the project was loaded.
        let due = Schedule::of(&current).ok().and_then(|schedule| schedule.next(since));
        let now = clock.now();
        match due {
            Some(due) if due.at <= now => {
                since = now;
                let outcome = once(&due, open(current)).await;
                told(&due, &outcome);
            }
            due => {
                let wait = due.map_or(NAP, |due| {
                    let micros = due.at.as_micros().saturating_sub(now.as_micros()).max(1_000);
                    std::time::Duration::from_micros(micros as u64).min(NAP)
                });
                tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    () = tokio::time::sleep(wait) => {}
                    changed = project.changed() => if changed.is_err() {
                        return Ok(());
                    }
                }
            }
        }
        if stop.is_cancelled() {
            return Ok(());
        }
    }
}

async fn once(due: &Due, context: impl Future<Output = Result<Context>>) -> Result<RunReport> {
    let options =
        RunOptions { select: due.select.clone(), exclude: due.exclude.clone(), full: false, wait: true };
    run(&context.await?, &options).await
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use laguna_model::LoadOptions;

    use super::*;

    fn schedule(settings: &str, datasets: &[(&str, &str)]) -> Result<Schedule> {
        let mut files = BTreeMap::new();
        files.insert("laguna.yml".to_string(), settings.as_bytes().to_vec());
        for (name, cron) in datasets {
            let text = format!("source: {{files: \"{name}/*.csv\"}}\nschedule: \"{cron}\"\n");
            files.insert(format!("raw/{name}.yml"), text.into_bytes());
        }
        Schedule::of(&Project::load_files(Path::new("/project"), files, &LoadOptions::default())?)
    }

    fn due(schedule: &Schedule, after: &str) -> (String, Vec<String>, Vec<String>) {
        let due = schedule.next(Instant::parse(after, Tz::UTC).unwrap()).unwrap();
        (due.at.to_string(), due.select, due.exclude)
    }

    #[test]
    fn datasets_have_times_of_their_own() {
        let schedule = schedule("schedule: \"0 6 * * *\"", &[("often", "*/15 * * * *")]).unwrap();
        let none: Vec<String> = Vec::new();
        assert_eq!(
            due(&schedule, "2026-11-22T05:50:00Z"),
            // Both fall due: everything runs.
            ("2026-11-22T06:00:00.000000Z".to_string(), none.clone(), none.clone())
        );
        assert_eq!(
            due(&schedule, "2026-11-22T06:00:00Z"),
            ("2026-11-22T06:15:00.000000Z".to_string(), vec!["raw.often+".to_string()], none.clone())
        );
    }

    #[test]
    fn a_dataset_that_is_not_due_does_not_land_with_the_project() {
        let schedule = schedule("schedule: \"0 6 * * *\"", &[("weekly", "0 7 * * 1")]).unwrap();
        let (_, select, exclude) = due(&schedule, "2026-11-22T05:50:00Z");
        assert_eq!((select.len(), exclude), (0, vec!["raw.weekly".to_string()]));
    }

    #[test]
    fn times_are_those_of_the_project_also_when_clocks_change() {
        let schedule = schedule("schedule: \"30 2 * * *\"\ntimezone: Europe/Amsterdam", &[]).unwrap();
        // On the 29th of March 2026 there is no 02:30 in Amsterdam; on the 30th it is 00:30 UTC.
        let (first, ..) = due(&schedule, "2026-03-28T02:00:00Z");
        assert!(first.starts_with("2026-03-29T01:"), "{first}");
        let (second, ..) = due(&schedule, "2026-03-29T12:00:00Z");
        assert_eq!(second, "2026-03-30T00:30:00.000000Z");
    }

    #[test]
    fn what_is_no_schedule_is_an_error_with_its_place() {
        let error = schedule("schedule: \"at noon\"", &[]).unwrap_err();
        assert_eq!(error.to_string(), "laguna.yml:1:1: `at noon` is not a schedule");
        assert!(schedule("", &[]).unwrap().is_empty());
    }
}
