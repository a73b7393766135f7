//! Waits for new keys and policies: IAM takes a minute or two to propagate them.
//!
//! Most refusals are real, so a bake waits only a little, once for each action of a credential: a denied listing does not use up
//! the wait of a later read.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::call_error::{CallError, ServiceError};

/// How much longer to treat refusals as IAM's propagation delay.
pub struct PropagationWait {
    window: Duration,
    pause: Duration,
    /// By action.
    first_refusals: Mutex<BTreeMap<&'static str, Instant>>,
}

impl PropagationWait {
    /// Returns a wait that ends `window` after an action's first refusal.
    pub fn new(window: Duration, pause: Duration) -> Self {
        PropagationWait { window, pause, first_refusals: Mutex::default() }
    }

    /// Returns how long to wait before the next attempt; `None` if there should be none.
    pub fn pause_after(&self, action: &'static str, fault: &CallError) -> Option<Duration> {
        if !fault.service_error().is_some_and(may_pass) {
            return None;
        }
        let mut first = self.first_refusals.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let began = *first.entry(action).or_insert_with(Instant::now);
        (began.elapsed() + self.pause <= self.window).then_some(self.pause)
    }
}

/// Tells whether the refusal is one that a new key or policy gets before it is propagated.
///
/// A wrong signature is not: then the service already knows the key.
fn may_pass(refusal: &ServiceError) -> bool {
    ["AccessDenied", "AccessDeniedException", "InvalidClientTokenId", "UnrecognizedClientException"]
        .contains(&refusal.code.as_str())
}
