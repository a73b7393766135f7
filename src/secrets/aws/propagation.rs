//! Owns the wait for new keys and policies: IAM takes a minute or two to make them known everywhere.
//!
//! A bake cannot wait that long for what is most often a real refusal, so it waits a little, once for each action of a
//! credential: a denied listing takes nothing from the reading that follows.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::call_error::{CallError, ServiceError};

/// How much longer refusals are taken for IAM's delay.
pub struct PropagationWait {
    window: Duration,
    pause: Duration,
    /// By the action.
    first_refusals: Mutex<BTreeMap<&'static str, Instant>>,
}

impl PropagationWait {
    /// Returns a patience that ends `window` after an action's first refusal.
    pub fn new(window: Duration, pause: Duration) -> Self {
        PropagationWait { window, pause, first_refusals: Mutex::default() }
    }

    /// Returns how long to wait before the next try, if there is to be one.
    pub fn pause_after(&self, action: &'static str, fault: &CallError) -> Option<Duration> {
        if !fault.service_error().is_some_and(may_pass) {
            return None;
        }
        let mut first = self.first_refusals.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let began = *first.entry(action).or_insert_with(Instant::now);
        (began.elapsed() + self.pause <= self.window).then_some(self.pause)
    }
}

/// Tells whether a refusal is one that a new key or policy meets before it is known everywhere.
///
/// A wrong signature is none: the service knows the key then.
fn may_pass(refusal: &ServiceError) -> bool {
    ["AccessDenied", "AccessDeniedException", "InvalidClientTokenId", "UnrecognizedClientException"]
        .contains(&refusal.code.as_str())
}
