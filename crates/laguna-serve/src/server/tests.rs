//! Doors that do what doors must not.

use std::collections::BTreeMap;
use std::path::Path;

use async_trait::async_trait;
use laguna_base::SystemClock;
use laguna_base::settings::serve::{Door as DoorSetting, ServeSettings};
use laguna_model::{LoadOptions, Project};
use laguna_query::{Engine, EngineOptions};
use laguna_store::Lake;
use tokio::sync::watch;

use super::*;
use crate::metrics::Metrics;
use crate::{Desk, Identities};

/// What a door does once it is open.
#[derive(Clone, Copy)]
enum Does {
    Panic,
    Fail,
    End,
    Wait,
    NeverStop,
}

struct Odd(&'static str, Does);

#[async_trait]
impl Door for Odd {
    fn name(&self) -> &'static str {
        self.0
    }

    async fn serve(&self, _: TcpListener, _: Arc<Core>, stop: CancellationToken) -> Result<()> {
        match self.1 {
            Does::Panic => panic!("a defect"),
            Does::Fail => Err(Error::storage("the listener is gone")),
            Does::End => Ok(()),
            Does::Wait => {
                stop.cancelled().await;
                Ok(())
            }
            Does::NeverStop => std::future::pending().await,
        }
    }
}

/// A server with two doors, of which one behaves.
async fn server(dir: &Path, does: Does) -> Server {
    std::fs::write(dir.join("laguna.yml"), "name: doors\nlake: ./lake\n").unwrap();
    let project = Project::load(dir, &LoadOptions::default()).unwrap();
    let here = DoorSetting::At("127.0.0.1:0".to_string());
    let serve = ServeSettings {
        postgres: here.clone(),
        http: here,
        flight: DoorSetting::Open(false),
        ..Default::default()
    };
    let settings = Settings::resolve(dir, &serve, false).unwrap();
    let clock = Arc::new(SystemClock);
    let lake = Lake::open(&project.lake, &project.storage, clock).await.unwrap();
    let engine = Engine::new(lake, EngineOptions { memory: settings.memory, parallel: None }).unwrap();
    let metrics = Metrics::default();
    let core = Core {
        desk: Desk::new(engine, &settings, metrics.clone(), None).unwrap(),
        identities: Identities::new(&BTreeMap::new(), &BTreeMap::new()).unwrap(),
        metrics,
        tls: None,
        project: watch::channel(Arc::new(project)).1,
    };
    let doors: Vec<Arc<dyn Door>> = vec![Arc::new(Odd("postgres", Does::Wait)), Arc::new(Odd("http", does))];
    Server::bind(core, &settings, doors).await.unwrap()
}

#[tokio::test]
async fn a_door_that_dies_takes_the_process_down_with_its_name() {
    for (does, says) in [
        (Does::Panic, "the door `http` died"),
        (Does::Fail, "the listener is gone"),
        (Does::End, "the door `http` ended by itself"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let error = server(dir.path(), does).await.run(CancellationToken::new()).await.unwrap_err();
        assert_eq!(error.to_string(), says);
    }
}

#[tokio::test]
async fn a_door_that_does_not_end_keeps_nobody_waiting() {
    let dir = tempfile::tempdir().unwrap();
    let server = server(dir.path(), Does::NeverStop).await;
    let stop = CancellationToken::new();
    stop.cancel();
    server.run(stop).await.unwrap();
}

#[tokio::test]
async fn a_port_that_is_taken_is_told_with_its_door() {
    let dir = tempfile::tempdir().unwrap();
    let taken = server(dir.path(), Does::Wait).await;
    let address = taken.addresses()[0].1.to_string();
    let serve = ServeSettings { postgres: DoorSetting::At(address.clone()), ..Default::default() };
    let settings = Settings::resolve(dir.path(), &serve, false).unwrap();
    let known: Vec<Arc<dyn Door>> = vec![Arc::new(Odd("postgres", Does::Wait))];
    let core = taken.core.of("postgres");
    let error = Server::bind(core, &settings, known).await.err().unwrap();
    assert_eq!(error.to_string(), format!("the door `postgres` cannot listen on {address}"));
}
