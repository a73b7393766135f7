//! Owns the names of what a run makes for a time: each tells which run made it, so that a later one knows what a killed run left.
//!
//! The name is all there is to go by: an engine shows no label of an image that it is just loading.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

use crate::image::digest::Digest;
use crate::runtime::bounded;

/// When a thing of another machine's run is taken for left: nothing there tells whether that run still goes on.
const OLD: Duration = Duration::from_secs(3600);

/// What stands for [`place`] where the system does not tell it.
const UNKNOWN: &str = "unknown";

/// Returns what makes a name unlike that of any other run: the second, the place where this process's number means it, that number, when
/// the process began, and a count.
pub(super) fn unique() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let process = std::process::id();
    let place = place().unwrap_or_else(|| UNKNOWN.to_owned());
    let began = began(process).unwrap_or_default();
    format!("{}-{place}-{process}-{began}-{}", now(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Tells whether a name with [`unique`] at its end was made by a run that has ended. Where that cannot be told, it has not, for an hour.
pub(super) fn is_left(name: &str) -> bool {
    is_left_seen_from(place().as_deref(), name)
}

fn is_left_seen_from(here: Option<&str>, name: &str) -> bool {
    let mut fields = name.rsplit('-').skip(1);
    let (Some(began_then), Some(process), Some(of), Some(second)) =
        (fields.next(), fields.next(), fields.next(), fields.next())
    else {
        return false;
    };
    let (Ok(process), Ok(second)) = (process.parse(), second.parse::<u64>()) else { return false };
    if here == Some(of) && !began_then.is_empty() {
        return !exists(process) || began(process).is_some_and(|began| began != began_then);
    }
    second.saturating_add(OLD.as_secs()) < now()
}

/// Tells whether a text is what [`unique`] returns.
pub(super) fn is_run_id(text: &str) -> bool {
    let is_number = |field: &str| !field.is_empty() && field.bytes().all(|byte| byte.is_ascii_digit());
    let is_hex = |field: &str| field.len() == 8 && field.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_place = |field: &str| field == UNKNOWN || is_hex(field);
    let fields: Vec<&str> = text.split('-').collect();
    let [second, place, process, began, count] = fields[..] else { return false };
    // without /proc nothing tells when a process began
    is_number(second)
        && is_place(place)
        && is_number(process)
        && (began.is_empty() || is_number(began))
        && is_number(count)
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Returns 8 hexadecimal digits for where a process's number means that process: this boot of this machine, and the namespace. `None`
/// where there is no `/proc` that tells it.
fn place() -> Option<String> {
    let boot = proc_file("sys/kernel/random/boot_id")?;
    let namespace = fs::read_link("/proc/self/ns/pid").ok()?;
    Some(Digest::of(format!("{boot}{}", namespace.display()).as_bytes()).hex()[..8].to_owned())
}

/// Tells whether a process runs, whoever's it is and whether or not `/proc` shows it.
fn exists(process: u32) -> bool {
    let id = i32::try_from(process).ok().and_then(Pid::from_raw);
    id.is_some_and(|id| test_kill_process(id) != Err(Errno::SRCH))
}

/// Returns when a process began, in clock ticks since the boot; `None` if it does not run, or `/proc` does not show it.
fn began(process: u32) -> Option<String> {
    let stat = proc_file(&format!("{process}/stat"))?;
    // the program's name may hold spaces and brackets, so the fields are counted from behind it: it is the 22nd of all
    stat.rsplit(')').next()?.split_whitespace().nth(19).map(str::to_owned)
}

fn proc_file(name: &str) -> Option<String> {
    let bytes = bounded::read_file(&Path::new("/proc").join(name), 64 * 1024).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_run_made_is_left_once_the_run_is_gone() {
        let running = format!("secretbake-alias:0123456789ab-{}", unique());
        assert!(!is_left(&running));
        let (place, began) = (place().unwrap(), began(std::process::id()).unwrap());
        // the number of a process that began at another time, and one that the kernel gives to none
        for gone in [format!("{}-{began}0", std::process::id()), format!("4194305-{began}")] {
            assert!(is_left(&format!("secretbake-temporary-{}-{place}-{gone}-0", now())), "{gone}");
        }
    }

    #[test]
    fn what_another_machine_s_run_made_is_left_after_an_hour() {
        assert!(is_left("secretbake-temporary-1700000000-00000000-1-1-0"));
        assert!(!is_left(&format!("secretbake-temporary-{}-00000000-1-1-0", now())));
        assert!(!is_left("secretbake-temporary-18446744073709551615-00000000-1-1-0"));
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
    fn without_proc_a_run_is_taken_for_ended_after_an_hour_only() {
        let running = format!("secretbake-alias:0123456789ab-{}", unique());
        assert!(!is_left_seen_from(None, &running));
        // what such a run made, seen by itself and by one that has `/proc`
        let place = place().unwrap();
        for here in [None, Some(place.as_str()), Some(UNKNOWN)] {
            assert!(!is_left_seen_from(here, &format!("secretbake-temporary-{}-unknown-1--0", now())));
            assert!(is_left_seen_from(here, "secretbake-temporary-1700000000-unknown-1--0"));
        }
        // `/proc` may hide the processes of others
        assert!(exists(std::process::id()) && exists(1) && !exists(4_194_305));
    }

    #[test]
    fn what_a_user_made_is_not_left() {
        for name in ["secretbake-alias:mine", "secretbake-temporary-mine", "secretbake-alias:a-b-c-d-e-f"] {
            assert!(!is_left(name));
        }
    }
}
