//! Owns the reading of a plan's secrets: each distinct read once, in batches if the provider can, concurrently within a bound.

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, stream};

use crate::diagnostic::ForeignText;
use crate::manifest::Version;
use crate::plan::{Plan, Read};
use crate::runtime::progress::{Counted, Progress};
use crate::secrets::{Provider, ProviderError, ReadResult, Resolved};

/// How many reads run at once. AWS allows 10,000 a second; the bound is for this machine's sockets.
const AT_ONCE: usize = 64;

/// How many batch reads run at once. AWS allows 100 a second, and an answer can have a megabyte.
const BATCHES_AT_ONCE: usize = 8;

/// Reads every secret of the plan. `providers` are by the credential's index; a credential that no read uses may have none.
///
/// Returns an answer for each read, in the plan's order: one failure does not stop the others.
pub async fn resolve<P: Provider + Sync>(
    plan: &Plan,
    providers: &[Option<P>],
    progress: &Progress,
) -> Vec<Result<Resolved, ProviderError>> {
    progress.expect(Counted::Secrets, plan.reads.len() as u64);
    let provider = |read: &Read| match &providers[read.credential] {
        Some(provider) => provider,
        None => unreachable!("a provider is connected for each credential that a read uses"),
    };
    let size = |read: &Read| if read.is_path { 1 } else { provider(read).batch_size(&read.version) };
    let batches = batches(plan, size);
    let together = stream::iter(batches).map(|batch| async move {
        let ids: Vec<_> = batch.iter().map(|index| &plan.reads[*index].id).collect();
        let first = &plan.reads[batch[0]];
        let answers = provider(first).read_together(&ids, &first.version).await;
        let answers = batch.into_iter().zip(answers).filter_map(|(index, answer)| Some((index, answer?)));
        let answers: Vec<(usize, ReadResult)> = answers.collect();
        progress.done(Counted::Secrets, answers.len() as u64);
        tracing::debug!(secrets = ids.len(), answers = answers.len(), "asked for secrets together");
        answers
    });
    let together: Vec<Vec<(usize, ReadResult)>> = together.buffer_unordered(BATCHES_AT_ONCE).collect().await;
    let together = together.into_iter().flatten().map(|(index, answer)| (index, answer.map(Resolved::Secret)));
    let mut answers: BTreeMap<usize, Result<Resolved, ProviderError>> = together.collect();
    let rest = plan.reads.iter().enumerate().filter(|(index, _)| !answers.contains_key(index));
    let singly = rest.map(|(index, read)| async move {
        let answer = match read.is_path {
            true => provider(read).read_below(&read.id).await.map(Resolved::Path),
            false => provider(read).read(&read.id, &read.version).await.map(Resolved::Secret),
        };
        progress.done(Counted::Secrets, 1);
        tracing::debug!(secret = %ForeignText::name(read.id.to_string()), read = answer.is_ok(), "asked for a secret");
        (index, answer)
    });
    let rest: Vec<_> = stream::iter(singly).buffer_unordered(AT_ONCE).collect().await;
    answers.extend(rest);
    let answers: Vec<Result<Resolved, ProviderError>> = answers.into_values().collect();
    for answer in answers.iter().flatten() {
        match answer {
            Resolved::Secret(value) => value.bytes.remember(),
            Resolved::Path(below) => below.iter().for_each(|secret| secret.value.bytes.remember()),
        }
    }
    answers
}

/// Returns the batches, each of one credential and one version, as indices into the plan's reads.
fn batches(plan: &Plan, size: impl Fn(&Read) -> usize) -> Vec<Vec<usize>> {
    let mut together: BTreeMap<(usize, &Version), Vec<usize>> = BTreeMap::new();
    for (index, read) in plan.reads.iter().enumerate() {
        if size(read) > 1 {
            together.entry((read.credential, &read.version)).or_default().push(index);
        }
    }
    let groups = together.into_values();
    groups
        .flat_map(|reads| reads.chunks(size(&plan.reads[reads[0]])).map(<[usize]>::to_vec).collect::<Vec<_>>())
        .collect()
}
