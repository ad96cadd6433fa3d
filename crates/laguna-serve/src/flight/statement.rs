//! Statements: planned when a client asks about one, held until it fetches the rows, streamed as fast as it reads.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::writer::IpcWriteOptions;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use arrow_flight::sql::server::PeekableFlightDataStream;
use arrow_flight::sql::{Any, Command, ProstMessageExt, TicketStatementQuery};
use arrow_flight::{
    FlightData, FlightDescriptor, FlightEndpoint, FlightInfo, IpcMessage, SchemaAsIpc, Ticket,
};
use bytes::Bytes;
use datafusion::scalar::ScalarValue;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use laguna_base::{Error, Result};
use laguna_query::{Moment, translate};
use prost::Message;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::shelf::Shelf;
use super::status::{broken, status};
use super::{NAME, placeholders, types};
use crate::{Ask, Caller, Desk, Held};

/// Sets of values that one prepared statement may be run with at once.
const MOST_SETS: usize = 10_000;

/// What a statement's rows, and all lists, are sent as.
pub(super) type Rows = Pin<Box<dyn Stream<Item = Result<FlightData, Status>> + Send>>;

/// A statement that was planned and whose rows may be fetched, also more than once.
pub(super) struct Planned {
    sql: String,
    held: Held,
    /// Values of its parameters; with several sets it runs once for each.
    sets: Vec<Vec<ScalarValue>>,
    /// Columns of the batches that are sent.
    columns: SchemaRef,
    cancel: CancellationToken,
}

/// A statement that is to be run with values to come.
pub(super) struct Prepared {
    pub(super) sql: String,
    /// The transaction that it belongs to.
    pub(super) transaction: Option<Bytes>,
    sets: Mutex<Vec<Vec<ScalarValue>>>,
}

/// Statements between begin and end: all of them read the release that was the newest at the first.
#[derive(Default)]
pub(super) struct Transaction(OnceCell<Moment>);

impl Transaction {
    pub(super) async fn moment(&self, desk: &Desk) -> Result<Moment> {
        let newest = || async {
            let release = desk.engine().lake().release().await?;
            Ok(release.map_or(Moment::Now, |release| Moment::Release(release.number)))
        };
        self.0.get_or_try_init(newest).await.cloned()
    }
}

impl Planned {
    /// Plans a statement; its parameters have the values of `sets`.
    pub(super) async fn new(
        desk: &Desk,
        caller: &Arc<Caller>,
        sql: &str,
        sets: Vec<Vec<ScalarValue>>,
        moment: &Moment,
    ) -> Result<Planned> {
        let sql = placeholders::numbered(sql).into_owned();
        let first = sets.first().map(Vec::as_slice).unwrap_or_default();
        let held = desk.hold(caller, &sql, first, moment).await;
        let held = held.inspect_err(|error| desk.unplanned(caller, NAME, sql.clone(), error))?;
        let wanted = held.parameters.len();
        if let Some(given) =
            sets.iter().map(Vec::len).chain(sets.is_empty().then_some(0)).find(|given| *given != wanted)
        {
            return Err(Error::project(format!(
                "the statement has {wanted} parameters, and {given} values were given"
            ))
            .sqlstate("07001")
            .hint("prepare the statement and bind one value for each parameter"));
        }
        let columns = types::sent(&held.schema);
        Ok(Planned { sql, held, sets, columns, cancel: CancellationToken::new() })
    }

    /// Ends it where it runs, and keeps it from running again.
    pub(super) fn cancel(&self) {
        self.cancel.cancel();
    }

    /// What a client is told: the columns, and the ticket `handle` for the rows.
    pub(super) fn info(&self, handle: &str, descriptor: FlightDescriptor) -> Result<FlightInfo, Status> {
        let ticket = TicketStatementQuery { statement_handle: handle.to_string().into() };
        let info = flight_info(&self.columns, ticket.as_any(), descriptor)?;
        Ok(match self.held.release {
            Some(release) => info.with_app_metadata(format!("{{\"release\":{release}}}")),
            None => info,
        })
    }

    /// Its rows as they are computed; the client's pace is the statement's pace.
    pub(super) fn rows(self: Arc<Self>, desk: &Desk, caller: &Arc<Caller>) -> Rows {
        let (desk, caller, columns) = (desk.clone(), caller.clone(), self.columns.clone());
        let fitting = columns.clone();
        let sets = if self.sets.is_empty() { vec![Vec::new()] } else { self.sets.clone() };
        let batches = stream::iter(sets)
            .then(move |params| {
                let mut ask = Ask::new(caller.clone(), NAME, self.sql.clone());
                ask.params = params;
                ask.held = Some(self.held.clone());
                ask.cancel = self.cancel.clone();
                let desk = desk.clone();
                async move {
                    let answer = desk.answer(ask).await?;
                    Ok::<_, Error>(answer.rows.map_err(translate))
                }
            })
            .try_flatten()
            .map(move |batch| batch.and_then(|batch| types::fit(&batch, &fitting)));
        encoded(columns, batches.map_err(|error| FlightError::from(status(error))))
    }
}

impl Prepared {
    pub(super) fn new(sql: String, transaction: Option<Bytes>) -> Prepared {
        Prepared { sql, transaction, sets: Mutex::default() }
    }

    /// Values for the next run.
    pub(super) fn bind(&self, sets: Vec<Vec<ScalarValue>>) {
        *self.sets.lock().unwrap_or_else(PoisonError::into_inner) = sets;
    }

    pub(super) fn sets(&self) -> Vec<Vec<ScalarValue>> {
        self.sets.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Values of parameters that a client sends: one set a row.
pub(super) async fn values(request: PeekableFlightDataStream) -> Result<Vec<Vec<ScalarValue>>, Status> {
    let messages = request.into_peekable().map_err(FlightError::from);
    let mut batches = FlightRecordBatchStream::new_from_flight_data(messages);
    let mut sets = Vec::new();
    while let Some(batch) = batches.try_next().await.map_err(unreadable)? {
        if sets.len() + batch.num_rows() > MOST_SETS {
            return Err(status(
                Error::exhausted(format!("a statement runs with at most {MOST_SETS} sets of values"))
                    .sqlstate("54000")
                    .hint("bind fewer rows, or join with a table"),
            ));
        }
        for row in 0..batch.num_rows() {
            let set = batch.columns().iter().map(|column| ScalarValue::try_from_array(column, row));
            let set: datafusion::error::Result<_> = set.collect();
            sets.push(set.map_err(|error| status(translate(error)))?);
        }
    }
    Ok(sets)
}

fn unreadable(error: FlightError) -> Status {
    match error {
        FlightError::Tonic(status) => *status,
        error => status(
            Error::project("the values of the parameters cannot be read").sqlstate("08P01").caused_by(error),
        ),
    }
}

/// Columns of a prepared statement's parameters. What its SQL leaves open is text, which the engine turns into what is
/// needed.
pub(super) fn parameter_columns(held: &Held) -> Schema {
    let field = |(index, data_type): (usize, &Option<DataType>)| {
        let known = data_type.clone().filter(|data_type| *data_type != DataType::Null);
        Field::new(format!("${}", index + 1), known.unwrap_or(DataType::Utf8), true)
    };
    types::told(&Schema::new(held.parameters.iter().enumerate().map(field).collect::<Vec<_>>()))
}

/// A schema in the form that Flight SQL's messages carry.
pub(super) fn message(schema: &Schema) -> Result<Bytes, Status> {
    let options = IpcWriteOptions::default();
    let message: Result<IpcMessage, ArrowError> = SchemaAsIpc::new(schema, &options).try_into();
    Ok(message.map_err(broken)?.0)
}

/// What can be fetched with `ticket`.
pub(super) fn flight_info(
    columns: &Schema,
    ticket: Any,
    descriptor: FlightDescriptor,
) -> Result<FlightInfo, Status> {
    let endpoint = FlightEndpoint::new().with_ticket(Ticket::new(ticket.encode_to_vec()));
    let info = FlightInfo::new().try_with_schema(columns).map_err(broken)?;
    Ok(info.with_endpoint(endpoint).with_descriptor(descriptor).with_ordered(true))
}

/// Batches in the form that is sent; none is larger than what clients take.
pub(super) fn encoded(
    columns: SchemaRef,
    batches: impl Stream<Item = Result<arrow::array::RecordBatch, FlightError>> + Send + 'static,
) -> Rows {
    let encoder = FlightDataEncoderBuilder::new().with_schema(columns).build(batches);
    Box::pin(encoder.map_err(Status::from))
}

/// The handle of the statement that can be fetched with `info`.
pub(super) fn handle(info: &FlightInfo) -> Option<Bytes> {
    let ticket = info.endpoint.first()?.ticket.as_ref()?;
    match Command::try_from(Any::decode(&*ticket.ticket).ok()?).ok()? {
        Command::TicketStatementQuery(ticket) => Some(ticket.statement_handle),
        _ => None,
    }
}

/// Tells the shelf when all rows were fetched.
pub(super) fn watched(rows: Rows, shelf: &Arc<Shelf<Planned>>, caller: &Arc<Caller>, handle: String) -> Rows {
    let (shelf, caller) = (shelf.clone(), caller.clone());
    let end = stream::once(async move { shelf.spent(&caller.user, &handle) });
    Box::pin(rows.map(Some).chain(end.map(|()| None)).filter_map(std::future::ready))
}
