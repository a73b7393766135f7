//! Owns what happens to the images that a bake took the last tag from: removed if asked for, else warned about.

use std::collections::BTreeSet;
use std::sync::PoisonError;

use super::Pruning;
use crate::diagnostic::Diagnostic;
use crate::ops::report::{Outcome, Outcomes};
use crate::store::any::Stores;
use crate::store::{Displaced, Pruned};

/// Removes the images that this run displaced, and if asked to, the earlier ones of the same bases; none without `pruning`.
pub(in crate::cli) async fn prune(stores: &Stores, outcomes: &Outcomes, pruning: Option<Pruning>) -> Pruned {
    let Some(pruning) = pruning else { return Pruned::default() };
    let (displaced, bases) = {
        let outcomes = outcomes.lock().unwrap_or_else(PoisonError::into_inner);
        let displaced: Vec<Displaced> = outcomes.values().flat_map(Outcome::displaced).cloned().collect();
        let baked = outcomes.values().filter_map(|outcome| outcome.result.as_ref().ok()?.base.as_ref());
        let bases =
            baked.map(ToString::to_string).chain(displaced.iter().filter_map(|displaced| displaced.base().cloned()));
        let bases: BTreeSet<String> = bases.filter(|_| pruning == Pruning::Base).collect();
        (displaced, bases)
    };
    stores.prune(&displaced, &bases).await
}

/// Adds a warning to each outcome for each image that it displaced and that is still there. Returns the warnings that belong to no
/// outcome.
pub(in crate::cli) fn settle(outcomes: &mut [Outcome], pruned: &Pruned) -> Vec<Diagnostic> {
    let mut kept = pruned.kept.clone();
    for outcome in outcomes {
        for displaced in outcome.displaced().to_vec() {
            let name = displaced.to_string();
            if pruned.removed.contains(&name) {
                continue;
            }
            let known = kept.iter().position(|(kept, _)| kept.as_ref() == Some(&name));
            let warning = known.map_or_else(|| displaced.warning(), |at| Some(kept.remove(at).1));
            outcome.problems_mut().extend(warning);
        }
    }
    kept.into_iter().map(|(_, warning)| warning).collect()
}
