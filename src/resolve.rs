//! Owns the reading of a plan's secrets: each distinct read once, side by side, bounded.

use futures_util::StreamExt as _;

use crate::plan::Plan;
use crate::provider::{Failure, Provider, SecretValue};

/// How many reads are under way at once. AWS allows 10,000 a second; the bound is for this machine's sockets.
const AT_ONCE: usize = 64;

/// Reads every secret of the plan. `providers` are by the credential's index; a credential that no read uses may have none.
///
/// Returns an answer for each read, in the plan's order: one failure does not stop the others.
pub async fn resolve<P: Provider + Sync>(plan: &Plan, providers: &[Option<P>]) -> Vec<Result<SecretValue, Failure>> {
    let reads = plan.reads.iter().map(|read| async move {
        match &providers[read.credential] {
            Some(provider) => provider.read(&read.id, &read.version).await,
            None => unreachable!("a provider is connected for each credential that a read uses"),
        }
    });
    futures_util::stream::iter(reads).buffered(AT_ONCE).collect().await
}
