//! Tells whether the tags that images were based on have moved on. It needs no secret and no credential but the registry's login.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::StreamExt as _;
use serde::Serialize;

use crate::diagnostic::Diagnostic;
use crate::image::labels::{ImageLabels, NamedBase};
use crate::store::any::Stores;
use crate::store::{BaseNow, LabelReads};

/// An image's base, as its label names it, and what its tag points to now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BaseFinding {
    /// `None` if the image names none.
    pub name: Option<String>,
    /// What the tag pointed to at the bake.
    pub digest: Option<String>,
    /// What it points to now, if that is another image.
    pub current_digest: Option<String>,
    pub state: BaseState,
}

/// How a base compares with its tag now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum BaseState {
    Current,
    /// The tag points to another image.
    Moved,
    /// The registry has no such tag anymore.
    Gone,
    /// The image does not name its base: others could not pull it.
    Unnamed,
    /// The registry could not be asked.
    Unknown,
}

/// What is known of each base; `None` if it could not be asked.
pub type KnownBases = BTreeMap<NamedBase, Option<BaseNow>>;

/// Asks what each base of the images points to now: each once, `jobs` at a time. Returns why the rest is not known, too.
pub async fn check(stores: &Stores, labels: &[&ImageLabels], jobs: usize) -> (KnownBases, Vec<Diagnostic>) {
    let bases: BTreeSet<&NamedBase> = labels.iter().filter_map(|labels| labels.base.as_ref()).collect();
    let reads = LabelReads::new(jobs);
    let asked = bases.into_iter().map(|base| {
        let reads = &reads;
        async move { (base.clone(), stores.base_now(base, reads).await) }
    });
    let (mut known, mut problems) = (KnownBases::new(), Vec::new());
    for (base, answer) in futures_util::stream::iter(asked).buffered(jobs).collect::<Vec<_>>().await {
        let now = answer.map_err(|error| problems.push(*error.0)).ok();
        known.insert(base, now);
    }
    (known, problems)
}

/// Returns what is known of an image's base; `None` if it was baked from scratch.
pub fn finding(labels: &ImageLabels, known: &KnownBases) -> Option<BaseFinding> {
    let Some(base) = &labels.base else {
        let has_base = labels.provenance.as_ref().is_ok_and(|provenance| provenance.base.is_some());
        let unnamed = BaseFinding { name: None, digest: None, current_digest: None, state: BaseState::Unnamed };
        return has_base.then_some(unnamed);
    };
    let (state, current_digest) = match known.get(base).and_then(Option::as_ref) {
        None => (BaseState::Unknown, None),
        Some(BaseNow::Same) => (BaseState::Current, None),
        Some(BaseNow::Gone) => (BaseState::Gone, None),
        Some(BaseNow::Moved(now)) => (BaseState::Moved, Some(now.to_string())),
    };
    let (name, digest) = (Some(base.name.clone()), Some(base.digest.clone()));
    Some(BaseFinding { name, digest, current_digest, state })
}

impl BaseState {
    /// Tells whether the image has to be baked onto its base again.
    pub fn drifted(self) -> bool {
        matches!(self, BaseState::Moved | BaseState::Gone)
    }

    /// Tells whether the state is unknown.
    pub fn untold(self) -> bool {
        matches!(self, BaseState::Unnamed | BaseState::Unknown)
    }
}
