//! "The disk was full": a layout or an archive on a disk that ends at any byte, or that fails at any step.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use super::place::Place;

/// A small disk, mounted until dropped.
struct Disk(String);

impl Disk {
    fn mount(at: &Path) -> Self {
        let at = at.to_str().unwrap().to_owned();
        let status = Command::new("mount").args(["-t", "tmpfs", "-o", "size=4m", "none", &at]).status().unwrap();
        assert!(status.success(), "no tmpfs at {at}");
        Disk(at)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

/// Runs a bake that may fail, and expects the old image or the new one, and one error that a person can act on.
fn holds(place: &Place, run: &mut Command, (old, new): (&str, &str), shown: &str) -> bool {
    let output = run.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!stderr.contains("canary") && !stderr.contains("panicked"), "{shown}: {stderr}");
    let standing = place.standing();
    match output.status.code() {
        Some(0) => assert_eq!(standing, new, "{shown}"),
        Some(1) => {
            assert!(stderr.contains("hint: "), "{shown}: {stderr}");
            assert!(standing == old || standing == new, "{shown}: {standing}: {stderr}");
        }
        status => panic!("{shown}: {status:?}: {stderr}"),
    }
    output.status.success()
}

/// The system calls that make files and give them their names.
const STEPS: &str = "rename,renameat,renameat2,link,linkat,fsync,fdatasync,mkdir,mkdirat,ftruncate,unlink,unlinkat";

fn each_step_fails(place: &Place) {
    let (old, new) = (place.bake("s0"), place.bake("s1"));
    let known = BTreeSet::from([old.clone(), new.clone()]);
    let manifest = place.manifest("s1");
    for (number, error) in (1..200).flat_map(|number| ["ENOSPC", "EIO"].map(|error| (number, error))) {
        let shown = format!("{}, step {number}: {error}", place.name);
        assert_eq!(place.bake("s0"), old, "{shown}");
        let bake = place.command(&manifest);
        let log = place.project.path("strace.log");
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-e", &format!("trace={STEPS}"), "-o"]).arg(&log);
        strace.args(["-e", &format!("inject={STEPS}:error={error}:when={number}")]);
        strace.arg(bake.get_program()).args(bake.get_args()).current_dir(place.project.path("")).env_clear();
        strace.envs(bake.get_envs().filter_map(|(name, value)| Some((name, value?))));
        holds(place, &mut strace, (&old, &new), &shown);
        assert_eq!(place.bake("s1"), new, "{shown}");
        assert_eq!(place.left(&[], &known), Vec::<String>::new(), "{shown}");
        if !fs::read_to_string(&log).unwrap().contains("(INJECTED)") {
            assert!(number > 1, "{shown}: nothing failed");
            return;
        }
    }
    panic!("{}: there is no end to the steps", place.name);
}

#[test]
fn a_layout_holds_the_old_image_or_the_new_one_if_a_step_of_the_file_system_fails() {
    each_step_fails(&Place::layout());
}

#[test]
fn an_archive_is_the_old_image_or_the_new_one_if_a_step_of_the_file_system_fails() {
    each_step_fails(&Place::docker_archive());
    each_step_fails(&Place::oci_archive());
}

mod as_root {
    use super::{BTreeSet, Disk, Place, fs, holds};
    use crate::support::needs_root;

    /// The size of a page of the disk, in bytes.
    const PAGE: u64 = 4096;

    fn disk_ends_anywhere(place: &Place) {
        needs_root();
        let out = place.project.path("out");
        let disk = Disk::mount(&out);
        let (old, new) = (place.bake("s0"), place.bake("s1"));
        let known = BTreeSet::from([old.clone(), new.clone()]);
        let manifest = place.manifest("s1");
        let filler = out.join(".filler");
        // more of the base's layer than the first pages does not matter
        let room = [0, 1, 2, 3, 4, 5, 6, 8, 12, 16, 32, 64, 128, 256, 512, 1024];
        let mut succeeded = false;
        for pages in room {
            let shown = format!("{} with {pages} free pages", place.name);
            // what the last image needed is free again
            if let Some(folder) = place.folder() {
                fs::remove_dir_all(folder).unwrap();
            }
            assert_eq!(place.bake("s0"), old, "{shown}");
            let free = rustix::fs::statvfs(&out).unwrap().f_bavail * PAGE;
            let size = free.saturating_sub(pages * PAGE);
            fs::write(&filler, vec![1; usize::try_from(size).unwrap()]).unwrap();
            succeeded |= holds(place, &mut place.command(&manifest), (&old, &new), &shown);
            fs::remove_file(&filler).unwrap();
            assert_eq!(place.bake("s1"), new, "{shown}");
            assert_eq!(place.left(&[], &known), Vec::<String>::new(), "{shown}");
        }
        assert!(succeeded, "{}: no room was enough", place.name);
        drop(disk);
    }

    #[test]
    fn a_full_disk_leaves_a_layout_as_it_was() {
        disk_ends_anywhere(&Place::layout());
    }

    #[test]
    fn a_full_disk_leaves_an_archive_as_it_was() {
        disk_ends_anywhere(&Place::docker_archive());
        disk_ends_anywhere(&Place::oci_archive());
    }
}
