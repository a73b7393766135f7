//! Owns the reading of a plan's secrets: each distinct read once, in batches if the provider can, concurrently within a bound.

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, stream};
use tokio::task::yield_now;

use crate::diagnostic::ForeignText;
use crate::manifest::Version;
use crate::manifest::reference::SecretId;
use crate::plan::same_secret::may_be_answered_by;
use crate::plan::{Plan, Read};
use crate::runtime::progress::{Counted, Progress};
use crate::secrets::{Provider, ProviderError, ReadResult, Resolved};

/// How many reads run at once. AWS allows 10,000 a second; the bound is for this machine's sockets.
const AT_ONCE: usize = 64;

/// How many batch reads run at once. AWS allows 100 a second, and an answer can have a megabyte.
const BATCHES_AT_ONCE: usize = 8;

/// The answers to a plan's reads.
pub struct Resolution {
    /// One for each read, in the plan's order.
    pub answers: Vec<Result<Resolved, ProviderError>>,
    /// How many secrets were read: one that is named by its name and by its ARN is read once.
    pub secrets_read: usize,
}

/// Reads every secret of the plan. `providers` are by the credential's index; a credential that no read uses may have none. One failure
/// does not stop the others.
pub async fn resolve<P: Provider + Sync>(plan: &Plan, providers: &[Option<P>], progress: &Progress) -> Resolution {
    progress.expect(Counted::Secrets, plan.reads.len() as u64);
    // in a box, since its type is deep
    let read = async |indices: &[usize]| Box::pin(read_all(plan, indices, providers, progress)).await;
    let arn = |answer: &Resolved| match answer {
        Resolved::Secret(value) => value.arn.clone(),
        Resolved::Path(_) => None,
    };
    let (answers, repeated) = ask_once(&plan.reads, read, arn).await;
    progress.done(Counted::Secrets, repeated as u64);
    for answer in answers.iter().flatten() {
        match answer {
            Resolved::Secret(value) => value.bytes.remember(),
            Resolved::Path(below) => below.iter().for_each(|secret| secret.value.bytes.remember()),
        }
    }
    let secrets_read = answers.iter().filter(|answer| answer.is_ok()).count() - repeated;
    Resolution { answers, secrets_read }
}

/// Asks for every read of a plan, in one round but for those that the answer of another may answer too: they wait, and are asked for if it
/// turns out to be of another secret. `arn` returns the ARN of the secret that an answer is of.
///
/// Returns the answers in the order of the reads, and how many of them repeat another's.
pub async fn ask_once<T: Clone>(
    reads: &[Read],
    ask: impl AsyncFn(&[usize]) -> BTreeMap<usize, Result<T, ProviderError>>,
    arn: impl Fn(&T) -> Option<String>,
) -> (Vec<Result<T, ProviderError>>, usize) {
    let named = may_be_answered_by(reads);
    let (waiting, first): (Vec<usize>, Vec<usize>) = (0..reads.len()).partition(|index| named[*index].is_some());
    let mut answers = ask(&first).await;
    let is_of = |answer: &T, id: &SecretId| arn(answer).is_some_and(|arn| id.is_answered_by(&arn));
    let mut rest = Vec::new();
    for index in &waiting {
        match named[*index].and_then(|named| answers.get(&named)) {
            Some(Ok(answer)) if is_of(answer, &reads[*index].id) => {
                answers.insert(*index, Ok(answer.clone()));
            }
            _ => rest.push(*index),
        }
    }
    answers.extend(ask(&rest).await);
    (answers.into_values().collect(), waiting.len() - rest.len())
}

/// Reads some secrets of the plan, by their indices: together as far as the provider can, then singly.
async fn read_all<P: Provider + Sync>(
    plan: &Plan,
    indices: &[usize],
    providers: &[Option<P>],
    progress: &Progress,
) -> BTreeMap<usize, Result<Resolved, ProviderError>> {
    let provider = |read: &Read| match &providers[read.credential] {
        Some(provider) => provider,
        None => unreachable!("a provider is connected for each credential that a read uses"),
    };
    let batches = batches(plan, indices, |read| provider(read).batch_size(&read.version));
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
    let together: Vec<Vec<(usize, ReadResult)>> =
        together.then(after_others).buffer_unordered(BATCHES_AT_ONCE).collect().await;
    let together = together.into_iter().flatten().map(|(index, answer)| (index, answer.map(Resolved::Secret)));
    let mut answers: BTreeMap<usize, Result<Resolved, ProviderError>> = together.collect();
    let rest = indices.iter().copied().filter(|index| !answers.contains_key(index));
    let singly = rest.map(|index| async move {
        let read = &plan.reads[index];
        let answer = match read.is_path {
            true => provider(read).read_below(&read.id).await.map(Resolved::Path),
            false => provider(read).read(&read.id, &read.version).await.map(Resolved::Secret),
        };
        progress.done(Counted::Secrets, 1);
        tracing::debug!(secret = %ForeignText::name(read.id.to_string()), read = answer.is_ok(), "asked for a secret");
        (index, answer)
    });
    let rest: Vec<_> = stream::iter(singly).then(after_others).buffer_unordered(AT_ONCE).collect().await;
    answers.extend(rest);
    answers
}

/// Lets other work run before the next read starts: signing a request takes longer than sending one, and a registry or an engine can answer
/// meanwhile.
async fn after_others<W>(work: W) -> W {
    yield_now().await;
    work
}

/// Returns the batches, each of two or more reads with one credential and of one version, as indices into the plan's reads. `size` is how
/// many the credential's provider takes at once.
fn batches(plan: &Plan, indices: &[usize], size: impl Fn(&Read) -> usize) -> Vec<Vec<usize>> {
    let mut together: BTreeMap<(usize, &Version), Vec<usize>> = BTreeMap::new();
    let reads = indices.iter().map(|index| (*index, &plan.reads[*index]));
    for (index, read) in reads.filter(|(_, read)| !read.is_path) {
        together.entry((read.credential, &read.version)).or_default().push(index);
    }
    let batches = together.into_values().flat_map(|reads| {
        let batches = reads.chunks(size(&plan.reads[reads[0]]));
        // a batch of one saves nothing
        batches.filter(|batch| batch.len() > 1).map(<[usize]>::to_vec).collect::<Vec<_>>()
    });
    batches.collect()
}
