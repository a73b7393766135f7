//! "The network had a bad day": each request in turn is reset, cut off, answered wrongly or not at all.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::place::{Place, spawn};
use super::report;
use crate::support::engine_proxy::{Proxy, Reply as EngineReply};
use crate::support::moto::Moto;
use crate::support::stub::{Reply, Stub};
use crate::support::variable;

/// What happens to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// The connection is closed instead of an answer.
    Reset,
    /// The answer never comes. The run is interrupted then, since its patience is minutes.
    Hung,
    /// The answer's end is missing.
    Cut,
    /// The request is carried out, and its answer lost.
    Lost,
    Status500,
    Status429,
    /// A page instead of an answer.
    Garbage,
}

const FAULTS: [Fault; 7] =
    [Fault::Reset, Fault::Hung, Fault::Cut, Fault::Lost, Fault::Status500, Fault::Status429, Fault::Garbage];
const PAGE: &str = "<html>Welcome to the captive portal</html>";
/// Counts no request.
const NONE: usize = usize::MAX;

/// Which of the requests to come has a fault.
struct Countdown {
    left: AtomicUsize,
    fault: AtomicUsize,
}

impl Countdown {
    /// Returns one that gives no request a fault.
    fn disarmed() -> Arc<Self> {
        Arc::new(Countdown { left: AtomicUsize::new(NONE), fault: AtomicUsize::new(0) })
    }

    fn arm(&self, request: usize, fault: Fault) {
        self.fault.store(FAULTS.iter().position(|other| *other == fault).unwrap(), Ordering::SeqCst);
        self.left.store(request, Ordering::SeqCst);
    }

    fn disarm(&self) {
        self.left.store(NONE, Ordering::SeqCst);
    }

    /// Returns the fault of the next request.
    fn next(&self) -> Option<Fault> {
        let left = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| match left {
            NONE => None,
            0 => Some(NONE),
            left => Some(left - 1),
        });
        (left == Ok(0)).then(|| FAULTS[self.fault.load(Ordering::SeqCst)])
    }
}

fn stub_reply(fault: Fault) -> Reply {
    match fault {
        Fault::Reset => Reply::breaks(),
        Fault::Hung => Reply::hang(),
        Fault::Cut => Reply::raw(200, "application/json", "{").claiming(1000),
        Fault::Lost => Reply::breaks().carried_out(),
        Fault::Status500 => Reply::raw(500, "text/plain", "oops"),
        Fault::Status429 => Reply::raw(429, "text/plain", "slow down").header("retry-after", "0"),
        Fault::Garbage => Reply::raw(200, "text/html", PAGE),
    }
}

fn engine_reply(fault: Fault) -> EngineReply {
    match fault {
        Fault::Reset => EngineReply::Reset,
        Fault::Hung => EngineReply::Silence,
        Fault::Cut => EngineReply::Break("{"),
        Fault::Lost => EngineReply::Lose,
        Fault::Status500 => EngineReply::Say(500, r#"{"message":"oops"}"#),
        Fault::Status429 => EngineReply::Say(429, "slow down"),
        Fault::Garbage => EngineReply::Say(200, PAGE),
    }
}

/// Bakes again and again, each time with a fault at another request, until a run ends without having met it. `bake` is the run's command;
/// the place holds the old image before each run.
fn each_request(place: &Place, wire: &str, countdown: &Countdown, variables: &[(&str, &str)], manifest: &str) {
    let (old, new) = (place.bake("s0"), place.bake("s1"));
    let known = BTreeSet::from([old.clone(), new.clone()]);
    let mut tried = 0;
    // the short form tries one fault at each request, another one in the next place
    let all = std::env::var_os("SECRETBAKE_TEST_ROUNDS").is_some();
    for request in 0.. {
        let faults = if all { &FAULTS[..] } else { &FAULTS[(request + wire.len()) % FAULTS.len()..][..1] };
        let mut met = false;
        for &fault in faults {
            let shown = format!("{wire}, request {request}: {fault:?}");
            assert_eq!(place.bake("s0"), old, "{shown}");
            countdown.arm(request, fault);
            let mut command = place.command(manifest);
            command.envs(variables.iter().copied());
            let child = spawn(command);
            let process = child.id();
            let watched = Pid::from_child(&child);
            let ended = thread::spawn(move || child.wait_with_output().unwrap());
            if fault == Fault::Hung {
                while !ended.is_finished() && countdown.left.load(Ordering::SeqCst) != NONE {
                    thread::sleep(Duration::from_millis(5));
                }
                thread::sleep(Duration::from_millis(100));
                // it may have ended by itself
                let _ = kill_process(watched, Signal::INT);
            }
            let output = ended.join().unwrap();
            met |= countdown.left.load(Ordering::SeqCst) == NONE;
            countdown.disarm();
            let stderr = String::from_utf8_lossy(&output.stderr);
            let errors =
                stderr.lines().filter(|line| !line.starts_with([' ', '\t']) && !line.starts_with("warning")).count();
            match output.status.code() {
                Some(0) => assert_eq!(
                    place.standing(),
                    new,
                    "{shown}; the old one is {old}\n{stderr}{}",
                    String::from_utf8_lossy(&output.stdout)
                ),
                Some(1) => {
                    assert!(errors >= 1 && stderr.contains("hint: "), "{shown}: {stderr}");
                    let standing = place.standing();
                    // what is carried out without an answer may have moved the tag
                    assert!(
                        standing == old || fault == Fault::Lost && standing == new,
                        "{shown}: {standing}\n{stderr}"
                    );
                }
                Some(130) if fault == Fault::Hung => assert!(known.contains(&place.standing()), "{shown}"),
                status => panic!("{shown}: {status:?}: {stderr}"),
            }
            assert!(!stderr.contains("canary") && !stderr.contains("panicked"), "{shown}: {stderr}");
            assert_eq!(place.bake("s1"), new, "{shown}");
            assert_eq!(place.left(&[process], &known), Vec::<String>::new(), "{shown}");
            tried += 1;
        }
        if !met {
            assert!(request > 0, "{wire}: no request was made");
            break;
        }
    }
    report(&format!("{wire}: {tried} runs with a fault"));
}

fn in_engine(place: &Place, host: &str) {
    let countdown = Countdown::disarmed();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let counted = Arc::clone(&countdown);
    let proxy = {
        let _inside = runtime.enter();
        Proxy::start(Some(host), move |_| counted.next().map(engine_reply))
    };
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = thread::spawn(move || drop(runtime.block_on(stopped)));
    each_request(place, place.name, &countdown, &[("DOCKER_HOST", &proxy.host())], &place.manifest("s1"));
    stop.send(()).unwrap();
    serving.join().unwrap();
}

mod overlay2 {
    #[test]
    fn a_bake_ends_well_or_in_one_clear_error() {
        super::in_engine(&super::Place::overlay2(), &super::variable("SECRETBAKE_TEST_DOCKER_HOST"));
    }
}

mod containerd {
    #[test]
    fn a_bake_ends_well_or_in_one_clear_error() {
        super::in_engine(&super::Place::containerd(), &super::variable("SECRETBAKE_TEST_CONTAINERD_HOST"));
    }
}

mod podman {
    #[test]
    fn a_bake_ends_well_or_in_one_clear_error() {
        super::in_engine(&super::Place::podman(), &super::variable("SECRETBAKE_TEST_PODMAN_HOST"));
    }
}

#[test]
fn a_bake_in_a_registry_ends_well_or_in_one_clear_error() {
    let mut place = Place::registry();
    let registry = variable("SECRETBAKE_TEST_REGISTRY");
    let countdown = Countdown::disarmed();
    let counted = Arc::clone(&countdown);
    let relay = Stub::before(&registry, move |_, _| counted.next().map(stub_reply));
    // every run names the relay, since an image says what its base was called
    place.base = place.base.replace(&registry, &relay.host());
    place.tag = place.tag.replace(&registry, &relay.host());
    each_request(&place, "registry", &countdown, &[], &place.manifest("s1"));
}

#[test]
fn a_bake_from_secrets_manager_ends_well_or_in_one_clear_error() {
    let moto = Moto::new();
    let place = Place::layout_from(&moto);
    let upstream = moto.endpoint.strip_prefix("http://").unwrap();
    let countdown = Countdown::disarmed();
    let counted = Arc::clone(&countdown);
    let relay = Stub::before(upstream, move |_, _| counted.next().map(stub_reply));
    each_request(&place, "AWS", &countdown, &[("AWS_ENDPOINT_URL", &relay.url())], &place.manifest("s1"));
}
