//! One page: asks the question at the desk, and says where the next page begins.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::scalar::ScalarValue;
use futures::{StreamExt, TryStreamExt, stream};
use laguna_base::{Error, Result, TableName, Tier};
use laguna_query::output::{self, Format};
use laguna_query::{Moment, translate};
use url::form_urlencoded;

use super::cursor::{Cursor, State as Pinned};
use super::question::{Asked, Question};
use crate::http::api::sql::moment;
use crate::http::api::tables::{columns, keys};
use crate::http::{Problem, State, Who, answer, negotiate, values};
use crate::{Answer, Ask};

/// Bytes of rows that a page gathers before it ends early.
const BYTES: usize = 64 << 20;

/// The header that says where the next page begins; `Link` says it too.
const NEXT: HeaderName = HeaderName::from_static("laguna-next");

/// Answers with the page of `table` that is asked for.
pub(super) async fn respond(
    core: &State,
    who: &Who,
    headers: &HeaderMap,
    uri: &Uri,
    table: TableName,
    asked: Asked,
) -> Result<Response, Problem> {
    let format = negotiate::format(headers, asked.format.as_deref())?;
    let question = asked.fingerprint(&table);
    let after = asked.after.as_deref().map(|text| Cursor::from_text(text, &question)).transpose()?;
    let state = match &after {
        Some(cursor) => cursor.state.clone(),
        None => pin(core, &table, moment(core, asked.as_of.as_deref(), asked.release)?).await?,
    };
    let schema = columns(core, who, &table, &state.moment()).await?;
    let unique = keys(core, who, &table);
    let asking = Question::new(table, &schema, &unique, &asked)?;
    let order: Vec<usize> = asking
        .keys
        .iter()
        .filter_map(|key| asking.columns.iter().position(|name| name == key.field.name()))
        .collect();
    let after = after.map(|cursor| cursor.of_keys(order.len())).transpose()?;
    // One row more tells whether there is another page, unless the role must not ask for it.
    let most = who.0.limits.max_rows.unwrap_or(u64::MAX);
    let limit = asked.limit().min(most);
    let ask_for = (limit + 1).min(most);
    let shown = asking.shown;
    let (sql, params) = asking.sql(&state, after.as_ref(), ask_for)?;
    let ask = Ask { params, moment: state.moment(), ..answer::ask(who, sql) };
    let answer = core.desk.answer(ask).await.map_err(Problem::of_path)?;
    let release = answer.release;
    let gathered = Gathered::of(answer, limit, ask_for).await?;
    let next = match gathered.more {
        false => None,
        true => Some(gathered.end(&order, after.as_ref(), state, question)?.to_text()?),
    };
    let mut response = gathered.page(shown)?.respond(format, release, next.as_deref()).await?;
    if let Some(next) = &next {
        let headers = response.headers_mut();
        let value = |text: &str| {
            HeaderValue::try_from(text)
                .map_err(|error| Error::internal("a header cannot be written").caused_by(error))
        };
        headers.insert(NEXT, value(next)?);
        headers.insert(header::LINK, value(&format!("<{}>; rel=\"next\"", following(uri, next)))?);
    }
    Ok(response)
}

/// The state that all pages show of a table.
async fn pin(core: &State, table: &TableName, moment: Moment) -> Result<Pinned> {
    let lake = core.desk.engine().lake();
    Ok(match moment {
        Moment::Release(number) => Pinned::Release(number),
        Moment::AsOf(at) => Pinned::AsOf(at.as_micros()),
        Moment::Run(_) => Pinned::Now,
        Moment::Now => match table.tier {
            Tier::Sanitized | Tier::Enhanced => {
                lake.release().await?.map_or(Pinned::Now, |release| Pinned::Release(release.number))
            }
            // Rows carry the time at which their batch began to arrive: a version is exact, a time is not.
            Tier::Raw | Tier::Quarantine => {
                lake.head_version(table).await?.map_or(Pinned::Now, Pinned::Version)
            }
            Tier::Latest => Pinned::AsOf(lake.clock().now().as_micros()),
            Tier::System => Pinned::Now,
        },
    })
}

/// The address of the next page.
fn following(uri: &Uri, next: &str) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    let given = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    query.extend_pairs(given.filter(|(name, _)| name != "after"));
    query.append_pair("after", next);
    format!("{}?{}", uri.path(), query.finish())
}

/// The rows of a page, with columns that only order.
struct Gathered {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
    more: bool,
}

impl Gathered {
    /// The first `limit` rows; `asked` is how many there are at most.
    async fn of(mut answer: Answer, limit: u64, asked: u64) -> Result<Gathered> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let (mut batches, mut rows, mut bytes, mut more) = (Vec::new(), 0, 0, false);
        while let Some(batch) = answer.rows.next().await {
            let batch = batch.map_err(translate)?;
            let room = limit - rows;
            more |= batch.num_rows() > room;
            let batch = batch.slice(0, batch.num_rows().min(room));
            rows += batch.num_rows();
            bytes += batch.get_array_memory_size();
            if batch.num_rows() > 0 {
                batches.push(batch);
            }
            if bytes > BYTES && rows > 0 {
                more = true;
                break;
            }
            if more {
                break;
            }
        }
        // Who must not ask for one row more learns at the next page that there is none.
        more |= rows == limit && asked == limit as u64;
        Ok(Gathered { schema: answer.schema, batches, more })
    }

    /// Where the page ends.
    fn end(
        &self,
        order: &[usize],
        after: Option<&Cursor>,
        state: Pinned,
        question: String,
    ) -> Result<Cursor> {
        let place = |batch: &RecordBatch, row: usize| -> Result<Vec<ScalarValue>> {
            let value =
                |index: &usize| ScalarValue::try_from_array(batch.column(*index), row).map_err(translate);
            order.iter().map(value).collect()
        };
        let mut rows = self
            .batches
            .iter()
            .rev()
            .flat_map(|batch| (0..batch.num_rows()).rev().map(move |row| place(batch, row)));
        let last =
            rows.next().transpose()?.ok_or_else(|| Error::internal("a page without rows has no end"))?;
        let mut shown = 1;
        let mut all = true;
        for row in rows {
            if row? != last {
                all = false;
                break;
            }
            shown += 1;
        }
        let keys: Vec<Option<String>> = last.iter().map(values::to_text).collect::<Result<_>>()?;
        // Rows of the pages before stood in the same place.
        if let Some(before) = after.filter(|before| all && before.keys == keys) {
            shown += before.shown;
        }
        Ok(Cursor { state, keys, shown, question })
    }

    /// Without the columns that only order.
    fn page(self, shown: usize) -> Result<Gathered> {
        let indices: Vec<usize> = (0..shown).collect();
        let wrong = |error| Error::internal("a page cannot be cut").caused_by(error);
        let schema = Arc::new(self.schema.project(&indices).map_err(wrong)?);
        let batches: Result<Vec<RecordBatch>> =
            self.batches.iter().map(|batch| batch.project(&indices).map_err(wrong)).collect();
        Ok(Gathered { schema, batches: batches?, more: self.more })
    }

    async fn respond(
        self,
        format: Format,
        release: Option<u64>,
        next: Option<&str>,
    ) -> Result<Response, Problem> {
        let rows = stream::iter(self.batches.into_iter().map(Ok));
        let rows = Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), rows));
        if format != Format::Json {
            return answer::stream(Answer { schema: self.schema, release, rows }, format, None).await;
        }
        // The rows are written once: their numbers keep all digits.
        let rows = output::encode(rows, format).try_concat().await?;
        let mut body = b"{\"rows\":".to_vec();
        body.extend_from_slice(rows.trim_ascii_end());
        let tail = serde_json::json!({"next": next, "release": release}).to_string();
        body.push(b',');
        body.extend_from_slice(&tail.as_bytes()[1..]);
        body.push(b'\n');
        let mut response = (StatusCode::OK, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(negotiate::content_type(format)));
        headers.insert(header::VARY, HeaderValue::from_static("accept"));
        if let Some(release) = release {
            headers.insert(answer::RELEASE, HeaderValue::from(release));
        }
        Ok(response)
    }
}
