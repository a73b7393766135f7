//! "What if the registry dies in the middle?" The old tag stays what it was, whichever request is the last.

use std::process::Stdio;
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::{SECRETS, project, registry, simple};
use crate::support::project::{Project, Ran};
use crate::support::skopeo::{copy, raw};
use crate::support::stub::{Reply, Request, Stub};

/// Tells whether a request moves a tag.
fn moves(request: &Request, tag: &str) -> bool {
    request.line.starts_with("PUT ") && request.line.ends_with(&format!("/manifests/{tag}"))
}

#[test]
fn a_registry_that_dies_at_any_request_leaves_the_old_tag_intact() {
    let (project, repository) = project();
    let there = format!("docker://{}/{repository}", registry());
    let manifest = |stub: &Stub, number: usize| {
        let name = |tag: &str| format!("docker://{}/{repository}:{tag}", stub.host());
        // each bakes another image, so that its blobs are not there already
        simple(&name("1"), &[&name("prod")]) + &format!("  NUMBER: \"{number}\"\n")
    };
    // the first bake is the only one that sends the launcher
    let relay = Stub::before(&registry(), |_, _| None);
    project.baked(&manifest(&relay, 100));
    let first = relay.requests().len();
    project.baked(&manifest(&relay, 101));
    let requests = relay.requests().len() - first;
    copy(&format!("{there}:1"), &format!("{there}:prod"));
    let old = raw(&format!("{there}:prod"));

    thread::scope(|scope| {
        for last in 0..requests {
            let (manifest, there, old) = (&manifest, &there, &old);
            scope.spawn(move || {
                let dying = Stub::before(&registry(), move |number, _| (number >= last).then(Reply::breaks));
                let ran = Project::with_file(SECRETS).bake(&manifest(&dying, last));
                assert_eq!(ran.status, Some(1), "{last}: {}", ran.stderr);
                assert!(ran.stderr.contains("cannot be reached"), "{last}: {}", ran.stderr);
                assert_eq!(raw(&format!("{there}:prod")), *old, "{last}");
            });
        }
    });
}

/// Bakes to the tags `a` and `b`, of which `b` cannot be moved; returns what was said, and the raw manifests of `1` and `a`.
fn bake_to_a_tag_that_is_refused(a_is_new: bool, deletes: bool) -> (Ran, String, Option<String>) {
    let (project, repository) = project();
    let there = format!("docker://{}/{repository}", registry());
    if !a_is_new {
        copy(&format!("{there}:1"), &format!("{there}:a"));
    }
    let denied = Reply::raw(403, "application/json", r#"{"errors":[{"code":"DENIED","message":"b is protected"}]}"#);
    let relay = Stub::before(&registry(), move |_, request| match () {
        () if moves(request, "b") => Some(denied.clone()),
        () if deletes && request.line.starts_with("DELETE ") => Some(Reply::raw(202, "text/plain", "")),
        () => None,
    });
    let name = |tag: &str| format!("docker://{}/{repository}:{tag}", relay.host());
    let ran = project.bake(&simple(&name("1"), &[&name("a"), &name("b")]));
    let requests = relay.requests();
    assert!(requests.iter().any(|request| moves(request, "a")), "nothing had to be put back");
    if deletes {
        assert!(requests.last().unwrap().line.ends_with(&format!("{repository}/manifests/a")));
    }
    let a = (!a_is_new).then(|| raw(&format!("{there}:a")));
    (ran, raw(&format!("{there}:1")), a)
}

#[test]
fn tags_that_moved_before_one_that_cannot_are_put_back() {
    let (ran, old, a) = bake_to_a_tag_that_is_refused(false, false);
    assert_eq!(ran.status, Some(1));
    assert!(ran.stderr.contains("DENIED: b is protected"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("stands for the new image"), "{}", ran.stderr);
    assert_eq!(a, Some(old));
}

#[test]
fn a_new_tag_is_taken_back_where_the_registry_deletes_tags_and_is_named_where_it_does_not() {
    let (ran, ..) = bake_to_a_tag_that_is_refused(true, true);
    assert!(!ran.stderr.contains("stands for the new image"), "{}", ran.stderr);
    // Debian's registry deletes by digest only
    let (ran, ..) = bake_to_a_tag_that_is_refused(true, false);
    assert!(ran.stderr.contains(":a` points to the new image already, and could not be restored"), "{}", ran.stderr);
    assert!(ran.stderr.contains("hint: bake again"), "{}", ran.stderr);
}

#[test]
fn an_interrupt_between_two_tags_leaves_both_of_them_moved() {
    let (project, repository) = project();
    let there = format!("docker://{}/{repository}", registry());
    copy(&format!("{there}:1"), &format!("{there}:a"));
    copy(&format!("{there}:1"), &format!("{there}:b"));
    let (moving, moves_a) = channel();
    let (go_on, goes_on) = channel();
    let goes_on = Mutex::new(goes_on);
    let relay = Stub::before(&registry(), move |_, request| {
        if moves(request, "a") {
            moving.send(()).unwrap();
            goes_on.lock().unwrap().recv_timeout(Duration::from_secs(60)).unwrap();
        }
        None
    });
    let name = |tag: &str| format!("docker://{}/{repository}:{tag}", relay.host());
    project.write("deploy.yaml", &simple(&name("1"), &[&name("a"), &name("b")]));
    let child =
        project.command(&["bake", "deploy.yaml"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    moves_a.recv_timeout(Duration::from_secs(60)).unwrap();
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    // long enough for a run that would end at once
    thread::sleep(Duration::from_millis(500));
    go_on.send(()).unwrap();
    let output = child.wait_with_output().unwrap();
    let [a, b, old] = ["a", "b", "1"].map(|tag| raw(&format!("{there}:{tag}")));
    assert!(a == b && a != old, "half done: {output:?}");
    // what is done is said to be
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(String::from_utf8(output.stdout).unwrap().starts_with(&name("a")));
}
