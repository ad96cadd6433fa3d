//! The command line of Laguna: one file a command, and the wiring of the rooms behind them.

pub mod cli;
pub mod commands;
pub mod printer;
mod progress;
pub mod reference;
mod report;
mod shell;
pub mod template;

use std::process::ExitCode;

use clap::Parser;
use laguna_base::Error;
use tokio_util::sync::CancellationToken;

use crate::cli::Cli;
use crate::printer::Printer;

/// Parses the process's arguments, runs the command, prints its error, and gives the exit code.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(refusal) => {
            if refusal.use_stderr() && std::env::args_os().any(|argument| argument == "--json") {
                printer::usage_error(&refusal.to_string());
            }
            refusal.exit();
        }
    };
    let printer = Printer::new(&cli.global);
    logging(cli.global.verbose);
    let outcome = runtime().and_then(|runtime| {
        let outcome = runtime.block_on(async {
            let stop = CancellationToken::new();
            // At a prompt an interrupt drops a statement, not the shell.
            if !shell::is_interactive(&cli) {
                tokio::spawn(signals(stop.clone()));
            }
            let printer = printer.clone();
            // Planning recurses deeply: it runs on a worker, whose stack is large.
            match tokio::spawn(async move { commands::dispatch(cli, &printer, stop).await }).await {
                Ok(outcome) => outcome,
                Err(died) => Err(Error::internal("the command died").caused_by(died)),
            }
        });
        // The process ends, and its threads with it. Letting go of them while they end can read memory that is no longer there
        // (glibc's bug 19951: `pthread_detach` looks at a thread that has just ended), which once killed a command at its end.
        std::mem::forget(runtime);
        outcome
    });
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(error) if printer::is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            printer.error(&error);
            ExitCode::from(error.kind().exit_code())
        }
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Error> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(16 << 20)
        .build()
        .map_err(|error| Error::storage("the system gives no threads").caused_by(error))
}

/// The first SIGINT or SIGTERM asks to stop cleanly, the second stops at once.
async fn signals(stop: CancellationToken) {
    loop {
        next_signal().await;
        if stop.is_cancelled() {
            std::process::exit(130);
        }
        stop.cancel();
    }
}

#[cfg(unix)]
async fn next_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    match (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
        (Ok(mut interrupt), Ok(mut terminate)) => {
            tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
        }
        _ => std::future::pending().await,
    }
}

#[cfg(not(unix))]
async fn next_signal() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Log events go to standard error: warnings always, more with `-v`, or as `RUST_LOG` says.
fn logging(verbose: u8) {
    let default = match verbose {
        0 => "error,laguna=warn,laguna_run=warn,laguna_store=warn,laguna_query=warn,laguna_ingest=warn",
        1 => "warn,laguna=info,laguna_run=info,laguna_store=info,laguna_query=info,laguna_ingest=info",
        2 => "info,laguna=debug,laguna_run=debug,laguna_store=debug,laguna_query=debug,laguna_ingest=debug",
        _ => "debug",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(default));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).without_time().init();
}
