//! "It was killed": by whatever signal, at whatever moment.

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt as _;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::place::{Place, spawn};
use super::{in_each_place, report, rounds};

in_each_place!(a_killed_run_leaves_the_old_image_or_the_new_one_and_the_next_run_cleans_up);

const SIGNALS: [Signal; 4] = [Signal::KILL, Signal::INT, Signal::TERM, Signal::HUP];

/// Returns numbers from 0 to 1 that look random, the same in every run.
fn moments() -> impl FnMut() -> f64 {
    let mut state = 0x853c_49e6_748f_ea9b_u64;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        f64::from(u32::try_from(state >> 32).unwrap()) / f64::from(u32::MAX)
    }
}

fn a_killed_run_leaves_the_old_image_or_the_new_one_and_the_next_run_cleans_up(place: Place) {
    let images = ["s0", "s1"].map(|secret| (secret, place.bake(secret)));
    let known: BTreeSet<String> = images.iter().map(|(_, id)| id.clone()).collect();
    assert_eq!(known.len(), 2, "{}", place.name);
    let manifests = images.each_ref().map(|(secret, _)| place.manifest(secret));
    // how long a run takes that moves the tag
    let started = Instant::now();
    assert!(place.command(&manifests[0]).output().unwrap().status.success());
    let usual = started.elapsed();
    let mut moment = moments();
    let (mut ended, mut interrupted, mut killed, mut slowest) = (0, 0, 0, Duration::ZERO);
    for round in 0..rounds(8) {
        let (_, new) = &images[(round + 1) % 2];
        let signal = SIGNALS[round % SIGNALS.len()];
        let at = usual.mul_f64(moment());
        let shown = format!("{}, round {round}: {signal:?} after {at:?}", place.name);

        let child = spawn(place.command(&manifests[(round + 1) % 2]));
        let process = child.id();
        thread::sleep(at);
        // it may have ended by itself
        let _ = kill_process(Pid::from_child(&child), signal);
        let sent = Instant::now();
        let output = child.wait_with_output().unwrap();
        if signal != Signal::KILL {
            slowest = slowest.max(sent.elapsed());
        }
        let stderr = String::from_utf8_lossy(&output.stderr);
        match (output.status.code(), output.status.signal()) {
            (Some(0), _) => ended += 1,
            (Some(130), _) => {
                assert!(stderr.contains("interrupted"), "{shown}: {stderr}");
                interrupted += 1;
            }
            // before it listens to signals, they do what they do to every process
            (None, Some(number)) if number == signal.as_raw() => killed += 1,
            _ => panic!("{shown}: {:?}: {stderr}", output.status),
        }
        assert!(!stderr.contains("canary"), "{shown}: {stderr}");

        let standing = place.standing();
        assert!(known.contains(&standing), "{shown}: the tag stands for {standing}");
        if output.status.success() {
            assert_eq!(standing, *new, "{shown}");
        }
        // the next run bakes the same, or what it was before
        let (secret, new) = &images[if moment() < 0.5 { (round + 1) % 2 } else { round % 2 }];
        assert_eq!(place.bake(secret), *new, "{shown}");
        assert_eq!(place.left(&[process], &known), Vec::<String>::new(), "{shown}");
        if let Some(value) = place.value() {
            assert_eq!(value, format!("canary-{secret}"), "{shown}");
        }
        // and the next round replaces that
        place.bake(images[round % 2].0);
    }
    report(&format!(
        "{}: {} runs: {ended} ended, {interrupted} interrupted, {killed} killed; slowest answer to a signal {slowest:?}",
        place.name,
        ended + interrupted + killed
    ));
}
