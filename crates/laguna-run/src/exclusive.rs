//! The one way to write a lake as a whole: under its lease, and after what an earlier command has left half done.

use laguna_base::Result;
use laguna_store::Lake;
use laguna_store::forget::Receipt;

/// Does `work` under the id `id` while nobody else writes the lake; `wait`: waits for others to end, instead of refusing.
///
/// An erasure that was begun is finished first and given to `work`: its plan names the versions that come next, so
/// whatever is committed before would stand in its way for ever.
pub(crate) async fn exclusively<T, F>(
    lake: &Lake,
    id: &str,
    wait: bool,
    work: impl FnOnce(Option<Receipt>) -> F,
) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    // A lake that does not exist yet has nobody to wait for; taking the lease creates it.
    let lease = lake.lease("run", id, wait).await?;
    let done = match lake.finish_erasure().await {
        Ok(finished) => work(finished).await,
        Err(error) => Err(error),
    };
    lease.release().await;
    done
}
