//! Flight SQL's commands, each answered by what its neighbours know.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow_flight::flight_service_server::FlightService;
use arrow_flight::sql::metadata::{SqlInfoData, XdbcTypeInfoData};
use arrow_flight::sql::server::{DoPutError, FlightSqlService, PeekableFlightDataStream};
use arrow_flight::sql::*;
use arrow_flight::{
    Action, ActionType, CancelFlightInfoRequest, CancelFlightInfoResult, CancelStatus, FlightData,
    FlightDescriptor, FlightInfo, HandshakeRequest, HandshakeResponse, Ticket,
};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use laguna_base::{Error, Result};
use laguna_query::Moment;
use prost::Message;
use std::pin::Pin;
use tonic::{Request, Response, Status, Streaming};

use super::gate::caller;
use super::login::Login;
use super::shelf::Shelf;
use super::statement::{self, Planned, Prepared, Rows, Transaction};
use super::status::{status, unsupported};
use super::{NAME, catalog, info, placeholders};
use crate::{Caller, Core};

/// How long a planned statement waits for its rows to be fetched.
const FETCH: Duration = Duration::from_secs(300);

/// How long prepared statements and transactions are kept without being used.
pub(super) const IDLE: Duration = Duration::from_secs(12 * 3600);

/// Planned statements of one user that wait.
const PLANNED: usize = 256;

/// Prepared statements, and transactions, of one user.
const PREPARED: usize = 4096;

/// Flight's own action that ends a statement.
const CANCEL_FLIGHT_INFO: &str = "CancelFlightInfo";

/// Flight SQL over the desk.
pub(super) struct Sql {
    core: Arc<Core>,
    pub(super) login: Login,
    planned: Arc<Shelf<Planned>>,
    prepared: Shelf<Prepared>,
    transactions: Shelf<Transaction>,
    info: SqlInfoData,
    types: XdbcTypeInfoData,
}

impl Sql {
    pub(super) fn new(core: Arc<Core>) -> Result<Sql> {
        Ok(Sql {
            login: Login::new(core.clone()),
            planned: Arc::new(Shelf::new(FETCH, PLANNED)),
            prepared: Shelf::new(IDLE, PREPARED),
            transactions: Shelf::new(IDLE, PREPARED),
            info: info::sql_info(&core.desk.engine().state())?,
            types: info::types()?,
            core,
        })
    }

    /// Throws away what nobody came back for.
    pub(super) fn sweep(&self) {
        self.planned.sweep();
        self.prepared.sweep();
        self.transactions.sweep();
    }

    /// Throws away a statement whose rows nobody will fetch.
    pub(super) fn forget(&self, caller: &Caller, info: &FlightInfo) {
        if let Some(handle) = statement::handle(info) {
            self.planned.take(&caller.user, &handle);
        }
    }

    fn new_handle(&self) -> String {
        self.core.desk.engine().lake().clock().new_id()
    }

    /// The state of the lake that a statement reads.
    async fn moment(&self, caller: &Caller, transaction: Option<&[u8]>) -> Result<Moment> {
        let Some(id) = transaction.filter(|id| !id.is_empty()) else { return Ok(Moment::Now) };
        let transaction = self.transactions.get(&caller.user, id).ok_or_else(|| {
            Error::project("there is no such transaction")
                .sqlstate("25P01")
                .hint("it has ended, or was not used for 12 hours: begin another")
        })?;
        transaction.moment(&self.core.desk).await
    }

    fn prepared(&self, caller: &Caller, handle: &[u8]) -> Result<Arc<Prepared>, Status> {
        self.prepared.get(&caller.user, handle).ok_or_else(|| {
            status(
                Error::project("there is no such prepared statement")
                    .sqlstate("26000")
                    .hint("it was closed, or not used for 12 hours: prepare it again"),
            )
        })
    }

    async fn plan(&self, caller: &Arc<Caller>, query: &CommandStatementQuery) -> Result<Planned, Status> {
        let plan = async {
            let moment = self.moment(caller, query.transaction_id.as_deref()).await?;
            Planned::new(&self.core.desk, caller, &query.query, Vec::new(), &moment).await
        };
        plan.await.map_err(status)
    }

    async fn plan_prepared(&self, caller: &Arc<Caller>, handle: &[u8]) -> Result<Planned, Status> {
        let prepared = self.prepared(caller, handle)?;
        let plan = async {
            let moment = self.moment(caller, prepared.transaction.as_deref()).await?;
            Planned::new(&self.core.desk, caller, &prepared.sql, prepared.sets(), &moment).await
        };
        plan.await.map_err(status)
    }

    /// Keeps a planned statement until its rows are fetched.
    fn keep(&self, caller: &Caller, planned: Planned, descriptor: FlightDescriptor) -> Reply<FlightInfo> {
        let handle = self.new_handle();
        let info = planned.info(&handle, descriptor)?;
        self.planned.put(&caller.user, handle, Arc::new(planned));
        Ok(Response::new(info))
    }

    /// Runs a statement for its own sake.
    async fn run(&self, caller: &Arc<Caller>, planned: Planned) -> Result<i64, Status> {
        let mut rows = Arc::new(planned).rows(&self.core.desk, caller);
        while rows.try_next().await?.is_some() {}
        // A statement that only reads has changed no row.
        Ok(0)
    }

    /// Ends the statement that `info` is about. Both actions that cancel number their results alike.
    fn cancel(&self, caller: &Caller, info: Option<&FlightInfo>) -> i32 {
        let handle = info.and_then(statement::handle);
        let planned = handle.and_then(|handle| self.planned.take(&caller.user, &handle));
        match planned.map(|planned| planned.cancel()) {
            Some(()) => CancelStatus::Cancelled as i32,
            None => CancelStatus::NotCancellable as i32,
        }
    }
}

type Reply<T> = Result<Response<T>, Status>;

/// What a list is announced with: the command itself is the ticket.
fn announce(
    columns: &arrow::datatypes::Schema,
    query: &impl ProstMessageExt,
    request: Request<FlightDescriptor>,
) -> Reply<FlightInfo> {
    statement::flight_info(columns, query.as_any(), request.into_inner()).map(Response::new)
}

/// A list as it is sent.
fn list(batch: Result<RecordBatch>) -> Reply<Rows> {
    let batch = batch.map_err(status)?;
    Ok(Response::new(statement::encoded(batch.schema(), stream::iter([Ok(batch)]))))
}

fn described(batch: arrow_flight::error::Result<RecordBatch>) -> Result<RecordBatch> {
    batch.map_err(|error| Error::internal("the server cannot be described").caused_by(error))
}

fn only_read() -> Status {
    status(
        Error::project("the lake is only read here")
            .sqlstate("25006")
            .hint("tables are made by models and by landing: `laguna run`"),
    )
}

fn savepoints() -> Status {
    unsupported("a savepoint")
}

fn substrait() -> Status {
    unsupported("a Substrait plan")
}

#[tonic::async_trait]
impl FlightSqlService for Sql {
    type FlightService = Sql;

    async fn do_handshake(
        &self,
        request: Request<Streaming<HandshakeRequest>>,
    ) -> Reply<Pin<Box<dyn Stream<Item = Result<HandshakeResponse, Status>> + Send>>> {
        Ok(self.login.handshake(request).await?.map(|answers| Box::pin(answers) as _))
    }

    // Statements.

    async fn get_flight_info_statement(
        &self,
        query: CommandStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> Reply<FlightInfo> {
        let caller = caller(&request)?;
        let planned = self.plan(&caller, &query).await?;
        self.keep(&caller, planned, request.into_inner())
    }

    async fn do_get_statement(&self, ticket: TicketStatementQuery, request: Request<Ticket>) -> Reply<Rows> {
        let caller = caller(&request)?;
        let planned = self.planned.get(&caller.user, &ticket.statement_handle).ok_or_else(|| {
            let mut status = status(
                Error::project("there is no such statement")
                    .sqlstate("26000")
                    .hint("its rows were not fetched for 5 minutes, or it was cancelled: run it again"),
            );
            status = Status::with_metadata(
                tonic::Code::NotFound,
                status.message().to_string(),
                std::mem::take(status.metadata_mut()),
            );
            status
        })?;
        let rows = planned.rows(&self.core.desk, &caller);
        let handle = String::from_utf8_lossy(&ticket.statement_handle).into_owned();
        Ok(Response::new(statement::watched(rows, &self.planned, &caller, handle)))
    }

    async fn do_put_statement_update(
        &self,
        update: CommandStatementUpdate,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        let caller = caller(&request)?;
        let query = CommandStatementQuery { query: update.query, transaction_id: update.transaction_id };
        // What writes is refused by the planner.
        let planned = self.plan(&caller, &query).await?;
        self.run(&caller, planned).await
    }

    async fn do_put_statement_ingest(
        &self,
        _ingest: CommandStatementIngest,
        _request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        Err(only_read())
    }

    // Prepared statements.

    async fn do_action_create_prepared_statement(
        &self,
        query: ActionCreatePreparedStatementRequest,
        request: Request<Action>,
    ) -> Result<ActionCreatePreparedStatementResult, Status> {
        let caller = caller(&request)?;
        let sql = placeholders::numbered(&query.query).into_owned();
        let hold = async {
            let moment = self.moment(&caller, query.transaction_id.as_deref()).await?;
            let held = self.core.desk.hold(&caller, &sql, &[], &moment).await;
            held.inspect_err(|error| self.core.desk.unplanned(&caller, NAME, sql.clone(), error))
        };
        let held = hold.await.map_err(status)?;
        let handle = self.new_handle();
        let result = ActionCreatePreparedStatementResult {
            prepared_statement_handle: handle.clone().into(),
            dataset_schema: statement::message(&super::types::sent(&held.schema))?,
            parameter_schema: statement::message(&statement::parameter_columns(&held))?,
        };
        self.prepared.put(&caller.user, handle, Arc::new(Prepared::new(sql, query.transaction_id)));
        Ok(result)
    }

    async fn do_action_close_prepared_statement(
        &self,
        query: ActionClosePreparedStatementRequest,
        request: Request<Action>,
    ) -> Result<(), Status> {
        // Closing what has gone already is fine.
        self.prepared.take(&caller(&request)?.user, &query.prepared_statement_handle);
        Ok(())
    }

    async fn do_put_prepared_statement_query(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<DoPutPreparedStatementResult, Status> {
        let prepared = self.prepared(&*caller(&request)?, &query.prepared_statement_handle)?;
        prepared.bind(statement::values(request.into_inner()).await?);
        let handle = query.prepared_statement_handle;
        Ok(DoPutPreparedStatementResult { prepared_statement_handle: Some(handle) })
    }

    async fn do_put_prepared_statement_update(
        &self,
        query: CommandPreparedStatementUpdate,
        request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        let caller = caller(&request)?;
        let prepared = self.prepared(&caller, &query.prepared_statement_handle)?;
        prepared.bind(statement::values(request.into_inner()).await?);
        let planned = self.plan_prepared(&caller, &query.prepared_statement_handle).await?;
        self.run(&caller, planned).await
    }

    async fn get_flight_info_prepared_statement(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<FlightDescriptor>,
    ) -> Reply<FlightInfo> {
        let caller = caller(&request)?;
        let planned = self.plan_prepared(&caller, &query.prepared_statement_handle).await?;
        self.keep(&caller, planned, request.into_inner())
    }

    async fn do_get_prepared_statement(
        &self,
        query: CommandPreparedStatementQuery,
        request: Request<Ticket>,
    ) -> Reply<Rows> {
        let caller = caller(&request)?;
        let planned = self.plan_prepared(&caller, &query.prepared_statement_handle).await?;
        Ok(Response::new(Arc::new(planned).rows(&self.core.desk, &caller)))
    }

    // Transactions.

    async fn do_action_begin_transaction(
        &self,
        _query: ActionBeginTransactionRequest,
        request: Request<Action>,
    ) -> Result<ActionBeginTransactionResult, Status> {
        let id = self.new_handle();
        self.transactions.put(&caller(&request)?.user, id.clone(), Arc::new(Transaction::default()));
        Ok(ActionBeginTransactionResult { transaction_id: id.into() })
    }

    async fn do_action_end_transaction(
        &self,
        query: ActionEndTransactionRequest,
        request: Request<Action>,
    ) -> Result<(), Status> {
        // Nothing was written: ending twice, and ending what has gone already, is fine.
        self.transactions.take(&caller(&request)?.user, &query.transaction_id);
        Ok(())
    }

    // Cancelling.

    async fn do_action_cancel_query(
        &self,
        query: ActionCancelQueryRequest,
        request: Request<Action>,
    ) -> Result<ActionCancelQueryResult, Status> {
        let info = FlightInfo::decode(query.info).ok();
        let result = self.cancel(&*caller(&request)?, info.as_ref());
        Ok(ActionCancelQueryResult { result })
    }

    async fn do_action_fallback(
        &self,
        request: Request<Action>,
    ) -> Reply<<Self as FlightService>::DoActionStream> {
        let action = request.get_ref();
        if action.r#type != CANCEL_FLIGHT_INFO {
            return Err(unsupported(&format!("the action `{}`", action.r#type)));
        }
        let cancel = CancelFlightInfoRequest::decode(action.body.clone())
            .map_err(|error| status(Error::project("the action cannot be read").caused_by(error)))?;
        let status = self.cancel(&*caller(&request)?, cancel.info.as_ref());
        let body = CancelFlightInfoResult { status }.encode_to_vec().into();
        Ok(Response::new(stream::iter([Ok(arrow_flight::Result { body })]).boxed()))
    }

    async fn list_custom_actions(&self) -> Option<Vec<Result<ActionType, Status>>> {
        let description = "Cancels a statement.\nRequest Message: CancelFlightInfoRequest\n\
                           Response Message: CancelFlightInfoResult";
        Some(vec![Ok(ActionType {
            r#type: CANCEL_FLIGHT_INFO.to_string(),
            description: description.to_string(),
        })])
    }

    // What there is.

    async fn get_flight_info_catalogs(
        &self,
        query: CommandGetCatalogs,
        request: Request<FlightDescriptor>,
    ) -> Reply<FlightInfo> {
        announce(&query.into_builder().schema(), &query, request)
    }

    async fn do_get_catalogs(&self, query: CommandGetCatalogs, _request: Request<Ticket>) -> Reply<Rows> {
        list(catalog::catalogs(query))
    }

    async fn get_flight_info_schemas(
        &self,
        query: CommandGetDbSchemas,
        request: Request<FlightDescriptor>,
    ) -> Reply<FlightInfo> {
        announce(&query.clone().into_builder().schema(), &query, request)
    }

    async fn do_get_schemas(&self, query: CommandGetDbSchemas, request: Request<Ticket>) -> Reply<Rows> {
        list(catalog::schemas(&self.core.desk, &*caller(&request)?, query).await)
    }

    async fn get_flight_info_tables(
        &self,
        query: CommandGetTables,
        request: Request<FlightDescriptor>,
    ) -> Reply<FlightInfo> {
        announce(&query.clone().into_builder().schema(), &query, request)
    }

    async fn do_get_tables(&self, query: CommandGetTables, request: Request<Ticket>) -> Reply<Rows> {
        list(catalog::tables(&self.core.desk, &*caller(&request)?, query).await)
    }

    async fn get_flight_info_table_types(
        &self,
        query: CommandGetTableTypes,
        request: Request<FlightDescriptor>,
    ) -> Reply<FlightInfo> {
        announce(&query.into_builder().schema(), &query, request)
    }

    async fn do_get_table_types(
        &self,
        query: CommandGetTableTypes,
        _request: Request<Ticket>,
    ) -> Reply<Rows> {
        list(catalog::table_types(query))
    }

    async fn get_flight_info_primary_keys(
        &self,
        query: CommandGetPrimaryKeys,
        request: Request<FlightDescriptor>,
    ) -> Reply<FlightInfo> {
        announce(&catalog::primary_keys().schema(), &query, request)
    }

    async fn do_get_primary_keys(&self, _query: CommandGetPrimaryKeys, _: Request<Ticket>) -> Reply<Rows> {
        list(Ok(catalog::primary_keys()))
    }

    async fn get_flight_info_exported_keys(
        &self,
        query: CommandGetExportedKeys,
        request: Request<FlightDescriptor>,
    ) -> Reply<FlightInfo> {
        announce(&catalog::foreign_keys().schema(), &query, request)
    }

    async fn do_get_exported_keys(&self, _query: CommandGetExportedKeys, _: Request<Ticket>) -> Reply<Rows> {
        list(Ok(catalog::foreign_keys()))
    }

    async fn get_flight_info_imported_keys(
        &self,
        query: CommandGetImportedKeys,
        request: Request<FlightDescriptor>,
    ) -> Reply<FlightInfo> {
        announce(&catalog::foreign_keys().schema(), &query, request)
    }

    async fn do_get_imported_keys(&self, _query: CommandGetImportedKeys, _: Request<Ticket>) -> Reply<Rows> {
        list(Ok(catalog::foreign_keys()))
    }

    async fn get_flight_info_cross_reference(
        &self,
        query: CommandGetCrossReference,
        request: Request<FlightDescriptor>,
    ) -> Reply<FlightInfo> {
        announce(&catalog::foreign_keys().schema(), &query, request)
    }

    async fn do_get_cross_reference(
        &self,
        _query: CommandGetCrossReference,
        _: Request<Ticket>,
    ) -> Reply<Rows> {
        list(Ok(catalog::foreign_keys()))
    }

    // What the server is.

    async fn get_flight_info_sql_info(
        &self,
        query: CommandGetSqlInfo,
        request: Request<FlightDescriptor>,
    ) -> Reply<FlightInfo> {
        announce(&self.info.schema(), &query, request)
    }

    async fn do_get_sql_info(&self, query: CommandGetSqlInfo, _request: Request<Ticket>) -> Reply<Rows> {
        list(described(self.info.record_batch(query.info)))
    }

    async fn get_flight_info_xdbc_type_info(
        &self,
        query: CommandGetXdbcTypeInfo,
        request: Request<FlightDescriptor>,
    ) -> Reply<FlightInfo> {
        announce(&self.types.schema(), &query, request)
    }

    async fn do_get_xdbc_type_info(
        &self,
        query: CommandGetXdbcTypeInfo,
        _request: Request<Ticket>,
    ) -> Reply<Rows> {
        list(described(self.types.record_batch(query.data_type)))
    }

    /// What is told is known when the server starts.
    async fn register_sql_info(&self, _id: i32, _result: &SqlInfo) {}

    // What there is not.

    async fn do_put_error_callback(
        &self,
        _request: Request<PeekableFlightDataStream>,
        error: DoPutError,
    ) -> Reply<<Self as FlightService>::DoPutStream> {
        let text = match error {
            DoPutError::MissingCommand => "nothing was sent",
            DoPutError::MissingFlightDescriptor => "what is sent does not say what it is for",
        };
        Err(status(Error::project(text).sqlstate("08P01")))
    }

    async fn get_flight_info_substrait_plan(
        &self,
        _query: CommandStatementSubstraitPlan,
        _request: Request<FlightDescriptor>,
    ) -> Reply<FlightInfo> {
        Err(substrait())
    }

    async fn do_put_substrait_plan(
        &self,
        _query: CommandStatementSubstraitPlan,
        _request: Request<PeekableFlightDataStream>,
    ) -> Result<i64, Status> {
        Err(substrait())
    }

    async fn do_action_create_prepared_substrait_plan(
        &self,
        _query: ActionCreatePreparedSubstraitPlanRequest,
        _request: Request<Action>,
    ) -> Result<ActionCreatePreparedStatementResult, Status> {
        Err(substrait())
    }

    async fn do_action_begin_savepoint(
        &self,
        _query: ActionBeginSavepointRequest,
        _request: Request<Action>,
    ) -> Result<ActionBeginSavepointResult, Status> {
        Err(savepoints())
    }

    async fn do_action_end_savepoint(
        &self,
        _query: ActionEndSavepointRequest,
        _request: Request<Action>,
    ) -> Result<(), Status> {
        Err(savepoints())
    }

    async fn do_exchange_fallback(
        &self,
        _request: Request<Streaming<FlightData>>,
    ) -> Reply<<Self as FlightService>::DoExchangeStream> {
        Err(unsupported("an exchange of rows"))
    }
}
