//! Owns the IDs in the names of temporary resources: an ID identifies the run, so that a later run can remove what a killed one left.
//!
//! The ID is in the name because an engine does not show the labels of an image that it is still loading.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::image::digest::Digest;
use crate::runtime::platform::{self, is_running, start_time};

/// How long to keep the resources of a run on another machine, where it is unknown whether that run is still active.
const MAX_AGE: Duration = Duration::from_secs(3600);

/// Replaces [`pid_scope`] if the system does not provide it.
const UNKNOWN: &str = "unknown";

/// Returns an ID that no other run has: the time in seconds, the PID scope, the PID, the start time of the process, and a counter.
pub(super) fn unique() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let process = std::process::id();
    let place = pid_scope().unwrap_or_else(|| UNKNOWN.to_owned());
    let began = start_time(process).unwrap_or_default();
    format!("{}-{place}-{process}-{began}-{}", now(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Returns whether the run whose [`unique`] ID ends this name has ended. If that is unknown, a run counts as ended after an hour.
pub(super) fn is_abandoned(name: &str) -> bool {
    is_abandoned_seen_from(pid_scope().as_deref(), name)
}

fn is_abandoned_seen_from(here: Option<&str>, name: &str) -> bool {
    let mut fields = name.rsplit('-').skip(1);
    let (Some(began_then), Some(process), Some(of), Some(second)) =
        (fields.next(), fields.next(), fields.next(), fields.next())
    else {
        return false;
    };
    let (Ok(process), Ok(second)) = (process.parse(), second.parse::<u64>()) else { return false };
    if here == Some(of) && !began_then.is_empty() {
        return !is_running(process) || start_time(process).is_some_and(|began| began != began_then);
    }
    second.saturating_add(MAX_AGE.as_secs()) < now()
}

/// Returns whether a text has the format of [`unique`].
pub(super) fn is_run_id(text: &str) -> bool {
    let is_number = |field: &str| !field.is_empty() && field.bytes().all(|byte| byte.is_ascii_digit());
    let is_hex = |field: &str| field.len() == 8 && field.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_place = |field: &str| field == UNKNOWN || is_hex(field);
    let fields: Vec<&str> = text.split('-').collect();
    let [second, place, process, began, count] = fields[..] else { return false };
    // the start time is empty without /proc
    is_number(second)
        && is_place(place)
        && is_number(process)
        && (began.is_empty() || is_number(began))
        && is_number(count)
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Returns 8 hexadecimal digits that identify where PIDs are unique; `None` if the system does not tell.
fn pid_scope() -> Option<String> {
    Some(Digest::of(platform::pid_scope()?.as_bytes()).hex()[..8].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_abandoned_once_its_run_has_ended() {
        let running = format!("secretbake-alias:0123456789ab-{}", unique());
        assert!(!is_abandoned(&running));
        let (place, began) = (pid_scope().unwrap(), start_time(std::process::id()).unwrap());
        // a PID with another start time, and a PID that the kernel never assigns
        for gone in [format!("{}-{began}0", std::process::id()), format!("4194305-{began}")] {
            assert!(is_abandoned(&format!("secretbake-temporary-{}-{place}-{gone}-0", now())), "{gone}");
        }
    }

    #[test]
    fn a_name_from_another_machine_is_abandoned_after_an_hour() {
        assert!(is_abandoned("secretbake-temporary-1700000000-00000000-1-1-0"));
        assert!(!is_abandoned(&format!("secretbake-temporary-{}-00000000-1-1-0", now())));
        assert!(!is_abandoned("secretbake-temporary-18446744073709551615-00000000-1-1-0"));
    }

    #[test]
    fn a_run_id_is_told_from_any_other_text() {
        assert!(is_run_id(&unique()));
        assert!(is_run_id("1700000000-0a0b0c0d-1--0") && is_run_id("1700000000-unknown-1--0"));
        for other in ["", "mine", "1-0a0b0c0d-1-1", "1-0a0b0c0d-1-1-0-1", "1-0a0b0c0d-1-1-0?force=1", "1-../../.-1-1-0"]
        {
            assert!(!is_run_id(other), "{other}");
        }
    }

    #[test]
    fn without_proc_a_name_is_abandoned_after_an_hour() {
        let running = format!("secretbake-alias:0123456789ab-{}", unique());
        assert!(!is_abandoned_seen_from(None, &running));
        // the resources of such a run, seen by itself and by a run with `/proc`
        let place = pid_scope().unwrap();
        for here in [None, Some(place.as_str()), Some(UNKNOWN)] {
            assert!(!is_abandoned_seen_from(here, &format!("secretbake-temporary-{}-unknown-1--0", now())));
            assert!(is_abandoned_seen_from(here, "secretbake-temporary-1700000000-unknown-1--0"));
        }
        // `/proc` may hide the processes of other users
        assert!(is_running(std::process::id()) && is_running(1) && !is_running(4_194_305));
    }

    #[test]
    fn a_name_that_a_user_chose_is_never_abandoned() {
        for name in ["secretbake-alias:mine", "secretbake-temporary-mine", "secretbake-alias:a-b-c-d-e-f"] {
            assert!(!is_abandoned(name));
        }
    }
}
