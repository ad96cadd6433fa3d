//! `laguna serve`: the doors, and the project's schedules, in one process.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use laguna_base::settings::serve::Door;
use laguna_base::{Error, Result, SystemClock};
use laguna_model::{Project, Role};
use laguna_query::{Access, Engine, EngineOptions};
use laguna_run::Context;
use laguna_run::events::Silent;
use laguna_run::run::RunReport;
use laguna_run::schedule::{self, Due};
use laguna_serve::caller::Limits;
use laguna_serve::metrics::Metrics;
use laguna_serve::{Audit, Core, Desk, Identities, Server, Settings};
use laguna_store::Lake;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{check_sources, load_options, project_dir};
use crate::cli::{Global, ServeArgs};
use crate::printer::Printer;

/// How often the project's files are looked at.
const RELOAD: Duration = Duration::from_secs(2);

/// Serves until a signal.
pub async fn execute(
    args: &ServeArgs,
    global: &Global,
    printer: &Printer,
    stop: CancellationToken,
) -> Result<u8> {
    if args.hash_password {
        return hash_password(printer);
    }
    let dir = project_dir(global)?;
    let options = load_options(global)?;
    let mut service = Project::service(&dir, &options)?;
    for (typed, setting) in [
        (&args.postgres, &mut service.serve.postgres),
        (&args.flight, &mut service.serve.flight),
        (&args.http, &mut service.serve.http),
    ] {
        match typed.as_deref() {
            None => {}
            Some("false") => *setting = Door::Open(false),
            Some(address) => *setting = Door::At(address.to_string()),
        }
    }
    let project = load(&dir, global, printer)?;
    let has_users = !service.users.is_empty() || service.serve.oidc.is_some();
    let settings = Settings::resolve(&dir, &service.serve, has_users)?;
    let oidc = service.serve.oidc.as_ref();
    let identities = Identities::open(&service.users, oidc, &roles(&project), Arc::new(SystemClock))?;
    let lake = Lake::open(&project.lake, &project.storage, Arc::new(SystemClock)).await?;
    let metrics = Metrics::default();
    let audit = service.serve.audit.then(|| Audit::start(lake.clone(), metrics.clone()));
    let record = audit.as_ref().map(Audit::sender);
    let engine = Engine::new(lake, EngineOptions { memory: settings.memory, parallel: None })?
        .with_timezone(project.timezone);
    let identities = identities.recorded(metrics.clone(), record.clone());
    let desk = Desk::new(engine, &settings, metrics.clone(), record)?;
    let (projects, project) = watch::channel(Arc::new(project));
    let core = Core { desk, identities, metrics, tls: settings.tls.clone(), project: project.clone() };
    let server = Server::bind(core, &settings, laguna_serve::doors()).await?;
    announce(&server, printer)?;
    let reloading = tokio::spawn(reload(dir, global.clone(), printer.clone(), projects));
    let scheduled = service.serve.schedule && !args.no_schedule;
    let running = scheduled.then(|| tokio::spawn(follow(project, printer.clone(), stop.clone())));
    let served = tokio::select! {
        served = server.run(stop.clone()) => served,
        died = ended(running) => {
            stop.cancel();
            Err(died)
        }
    };
    reloading.abort();
    if let Some(audit) = audit {
        audit.finish().await;
    }
    served?;
    Ok(0)
}

/// Reads a password from standard input and prints what may stand for it in `users:`.
fn hash_password(printer: &Printer) -> Result<u8> {
    if std::io::stdin().is_terminal() {
        printer.say("password, which is shown as you type it:");
    }
    let mut line = String::new();
    std::io::stdin()
        .read_line(&mut line)
        .map_err(|error| Error::project("standard input is no text").caused_by(error))?;
    let hash = laguna_serve::identity::hash_secret(line.trim_end_matches(['\r', '\n']))?;
    match printer.json {
        true => printer.json_line(&serde_json::json!({"hash": hash}))?,
        false => printer.result(&hash)?,
    }
    Ok(0)
}

/// Waits for the schedule to end before it was asked to, which it must not.
async fn ended(running: Option<JoinHandle<Result<()>>>) -> Error {
    match running {
        Some(running) => match running.await {
            Ok(Err(error)) => error,
            Err(died) => Error::internal("the schedule died").caused_by(died),
            // It was asked to: the doors are closing.
            Ok(Ok(())) => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}

/// Runs what falls due. A run that fails is told and does not end the server.
async fn follow(
    project: watch::Receiver<Arc<Project>>,
    printer: Printer,
    stop: CancellationToken,
) -> Result<()> {
    let of_runs = stop.clone();
    let open = move |project: Arc<Project>| {
        Context::of(project, Arc::new(SystemClock), Arc::new(Silent), of_runs.clone())
    };
    let told = move |due: &Due, outcome: &Result<RunReport>| match outcome {
        Ok(report) => printer.say(&format!(
            "schedule of {}: {} built, {} up to date, {} failed ({:.1} s){}",
            due.at,
            report.built,
            report.skipped,
            report.failed,
            report.seconds,
            report.release.map(|number| format!("; released as number {number}")).unwrap_or_default()
        )),
        Err(error) => printer.warning(&format!("schedule of {}: {error}", due.at)),
    };
    schedule::follow(project, Arc::new(SystemClock), open, told, stop).await
}

/// Looks at the project's files for ever, and loads the project anew when one has changed. A project that is broken
/// is told once; until it is mended the one before stays.
async fn reload(dir: PathBuf, global: Global, printer: Printer, projects: watch::Sender<Arc<Project>>) {
    let mut seen = projects.borrow().stamp();
    loop {
        tokio::time::sleep(RELOAD).await;
        let now = projects.borrow().stamp();
        if now == seen {
            continue;
        }
        seen = now;
        match load(&dir, &global, &printer) {
            Ok(project) => {
                printer.say("the project was loaded anew; `serve:`, `users:` and `roles:` hold from the next start on");
                seen = project.stamp();
                projects.send_replace(Arc::new(project));
            }
            Err(error) => printer.error(&error),
        }
    }
}

/// What each role of the project may read and use.
fn roles(project: &Project) -> BTreeMap<String, (Access, Limits)> {
    let limits = |role: &Role| Limits {
        timeout: role.timeout,
        max_rows: role.max_rows,
        concurrency: role.concurrency,
    };
    project.roles.iter().map(|(name, role)| (name.clone(), (role.access.clone(), limits(role)))).collect()
}

fn load(dir: &Path, global: &Global, printer: &Printer) -> Result<Project> {
    let project = Project::load(dir, &load_options(global)?)?;
    check_sources(&project)?;
    schedule::Schedule::of(&project)?;
    for warning in &project.warnings {
        printer.warning(&warning.to_string());
    }
    Ok(project)
}

/// Says where the doors are: programs read the line, people too.
fn announce(server: &Server, printer: &Printer) -> Result<()> {
    let addresses = server.addresses();
    if printer.json {
        let doors: BTreeMap<&str, String> =
            addresses.iter().map(|(name, address)| (*name, address.to_string())).collect();
        return printer.json_line(&serde_json::json!({"event": "listening", "doors": doors}));
    }
    for (name, address) in addresses {
        printer.say(&format!("{name:<10}{address}"));
    }
    Ok(())
}
