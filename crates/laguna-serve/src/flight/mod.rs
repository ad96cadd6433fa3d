//! The Flight SQL door: Arrow batches over gRPC for ADBC, JDBC and programs.
//!
//! [`gate`] learns who calls, [`sql`] answers Flight SQL's commands with what its neighbours know: [`statement`] plans and
//! streams, [`catalog`] lists, [`info`] describes the server. A statement is planned when a client asks about it, and the
//! state of the lake that it saw is held until the rows are fetched: both see the same rows.

mod catalog;
mod gate;
mod info;
mod login;
mod placeholders;
mod shelf;
mod sql;
mod statement;
mod status;
mod types;

use std::sync::Arc;
use std::time::Duration;

use arrow_flight::flight_service_server::FlightServiceServer;
use async_trait::async_trait;
use laguna_base::Result;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use crate::http::connection::{self, Speaks};
use crate::{Core, Door};

/// Name of the door in settings, metrics and the record of statements.
pub const NAME: &str = "flight";

/// Bytes of one message of a client: statements and their parameters.
const LARGEST: usize = 16 << 20;

/// How often what nobody came back for is thrown away.
const SWEEP: Duration = Duration::from_secs(30);

/// The Flight SQL door.
pub struct Flight;

#[async_trait]
impl Door for Flight {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn serve(&self, listener: TcpListener, core: Arc<Core>, stop: CancellationToken) -> Result<()> {
        let sql = Arc::new(sql::Sql::new(core.clone())?);
        let service = FlightServiceServer::new(gate::Gate::new(sql.clone()));
        let router = Routes::new(service.max_decoding_message_size(LARGEST)).into_axum_router();
        tokio::select! {
            served = connection::serve(NAME, Speaks::Http2, listener, router, core, stop) => served,
            swept = sweep(&sql) => swept,
        }
    }
}

/// Never ends.
async fn sweep(sql: &sql::Sql) -> Result<()> {
    loop {
        tokio::time::sleep(SWEEP).await;
        sql.sweep();
    }
}
