//! What every call passes: who calls is learned here, once, so that no command can forget it. Calls that Flight SQL's
//! library leaves open are answered here too.

use std::sync::Arc;

use arrow_flight::flight_service_server::FlightService;
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo, HandshakeRequest,
    HandshakeResponse, PollInfo, PutResult, SchemaResult, Ticket,
};
use futures::{StreamExt, stream};
use tonic::{Request, Response, Status, Streaming};

use super::sql::Sql;
use super::status::status;
use crate::Caller;

/// The service that is served.
pub(super) struct Gate {
    sql: Arc<Sql>,
}

impl Gate {
    pub(super) fn new(sql: Arc<Sql>) -> Gate {
        Gate { sql }
    }

    /// The call, with its caller among the extensions.
    async fn admit<T>(&self, mut request: Request<T>) -> Result<Request<T>, Status> {
        let caller = self.sql.login.caller(&request).await.map_err(status)?;
        request.extensions_mut().insert(caller);
        Ok(request)
    }
}

/// Who makes a call that was let in.
pub(super) fn caller<T>(request: &Request<T>) -> Result<Arc<Caller>, Status> {
    request
        .extensions()
        .get::<Arc<Caller>>()
        .cloned()
        .ok_or_else(|| Status::unauthenticated("who asks is not said"))
}

#[tonic::async_trait]
impl FlightService for Gate {
    type HandshakeStream = stream::BoxStream<'static, Result<HandshakeResponse, Status>>;
    type ListFlightsStream = stream::BoxStream<'static, Result<FlightInfo, Status>>;
    type DoGetStream = stream::BoxStream<'static, Result<FlightData, Status>>;
    type DoPutStream = stream::BoxStream<'static, Result<PutResult, Status>>;
    type DoActionStream = stream::BoxStream<'static, Result<arrow_flight::Result, Status>>;
    type ListActionsStream = stream::BoxStream<'static, Result<ActionType, Status>>;
    type DoExchangeStream = stream::BoxStream<'static, Result<FlightData, Status>>;

    async fn handshake(
        &self,
        request: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Self::HandshakeStream>, Status> {
        Ok(self.sql.login.handshake(request).await?.map(StreamExt::boxed))
    }

    /// There are no flights but those that statements make.
    async fn list_flights(
        &self,
        request: Request<Criteria>,
    ) -> Result<Response<Self::ListFlightsStream>, Status> {
        self.admit(request).await?;
        Ok(Response::new(stream::empty().boxed()))
    }

    async fn get_flight_info(
        &self,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        self.sql.get_flight_info(self.admit(request).await?).await
    }

    /// A statement can be fetched as soon as it is planned.
    async fn poll_flight_info(
        &self,
        request: Request<FlightDescriptor>,
    ) -> Result<Response<PollInfo>, Status> {
        let info = self.get_flight_info(request).await?.into_inner();
        Ok(Response::new(PollInfo {
            info: Some(info),
            flight_descriptor: None,
            progress: Some(1.0),
            expiration_time: None,
        }))
    }

    async fn get_schema(&self, request: Request<FlightDescriptor>) -> Result<Response<SchemaResult>, Status> {
        let request = self.admit(request).await?;
        let caller = caller(&request)?;
        let info = self.sql.get_flight_info(request).await?.into_inner();
        // Nobody knows the ticket.
        self.sql.forget(&caller, &info);
        Ok(Response::new(SchemaResult { schema: info.schema }))
    }

    async fn do_get(&self, request: Request<Ticket>) -> Result<Response<Self::DoGetStream>, Status> {
        self.sql.do_get(self.admit(request).await?).await
    }

    async fn do_put(
        &self,
        request: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoPutStream>, Status> {
        self.sql.do_put(self.admit(request).await?).await
    }

    async fn do_action(&self, request: Request<Action>) -> Result<Response<Self::DoActionStream>, Status> {
        self.sql.do_action(self.admit(request).await?).await
    }

    async fn list_actions(
        &self,
        request: Request<Empty>,
    ) -> Result<Response<Self::ListActionsStream>, Status> {
        self.sql.list_actions(self.admit(request).await?).await
    }

    async fn do_exchange(
        &self,
        request: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoExchangeStream>, Status> {
        self.sql.do_exchange(self.admit(request).await?).await
    }
}
