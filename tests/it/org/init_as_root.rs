//! Who may use and who may change credentials, enforced by the operating system: users and groups are real, by their numbers.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::needs_root;
use crate::support::project::Ran;

const READERS: u32 = 61_001;
const MANAGERS: u32 = 61_002;

/// A machine's shared directory, as root lays it out, and the users that come to it.
struct Machine {
    folder: tempfile::TempDir,
}

/// Someone: a user's number and groups.
#[derive(Clone, Copy)]
struct User {
    id: u32,
    groups: &'static str,
}

const READER: User = User { id: 62_001, groups: "61001" };
const MANAGER: User = User { id: 62_002, groups: "61002" };
const OUTSIDER: User = User { id: 62_003, groups: "61003" };
const ROOT: User = User { id: 0, groups: "0" };

impl Machine {
    /// Lays out an empty machine.
    fn new() -> Self {
        needs_root();
        let folder = tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o755)).tempdir().unwrap();
        // the tests' own build directory may be closed to other users
        let program = folder.path().join("secretbake");
        // by another process: a program that is open for writing, in whatever child, cannot be started
        let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_secretbake")).arg(&program).status().unwrap();
        assert!(copied.success());
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        Machine { folder }
    }

    fn shared() -> Self {
        let machine = Machine::new();
        let (readers, managers) = (READERS.to_string(), MANAGERS.to_string());
        let ran = machine.run(
            ROOT,
            &["org", "init", "--dir", "shared", "--read-group", &readers, "--manage-group", &managers],
            "",
        );
        assert_eq!(ran.status, Some(0), "{}", ran.stderr);
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, user: User, arguments: &[&str], input: &str) -> Ran {
        let mut command = Command::new("setpriv");
        command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", "/nonexistent").current_dir(self.folder.path());
        command.env("SECRETBAKE_ORG", "shared/org.yaml");
        let (user_id, groups) = (user.id.to_string(), user.groups);
        command.args(["--reuid", &user_id, "--regid", &user_id, "--groups", groups]).arg(self.path("secretbake"));
        let mut child = command
            .args(arguments)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        // who is refused does not read it
        let _ = std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes());
        Ran::from_output(child.wait_with_output().unwrap())
    }

    fn add(&self, user: User, name: &str) -> Ran {
        let arguments = [
            "credential",
            "add",
            name,
            "--region",
            "us-east-1",
            "--access-key-id",
            "AKIAEXAMPLEEXAMPLE00",
            "--secret-key-stdin",
        ];
        self.run(user, &arguments, "canary-key\n")
    }

    fn cat(&self, user: User, name: &str) -> bool {
        let id = user.id.to_string();
        let mut command = Command::new("setpriv");
        command.args(["--reuid", &id, "--regid", &id, "--groups", user.groups, "cat"]).arg(self.path(name));
        command.output().unwrap().status.success()
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

#[test]
fn members_of_the_manage_group_change_members_of_the_read_group_use_and_no_one_else_reads() {
    let machine = Machine::shared();
    let added = machine.add(MANAGER, "aws-prod");
    assert_eq!(
        (added.status, &*added.stderr),
        (
            Some(0),
            &*format!(
                "added: aws-prod (shared/org.yaml)\ntest it with `{} credential test aws-prod`\nwarning: the keys of aws-prod are in shared/org.yaml in the clear\n  hint: keep the file out of version control, or take the keys from elsewhere: --secret-key-env, --secret-key-file\n",
                machine.path("secretbake").display()
            )
        )
    );
    for round in 0..2 {
        // the second time, on a file that a manager wrote
        for user in [READER, MANAGER, ROOT] {
            let ran = machine.run(user, &["credential", "list"], "");
            assert_eq!(ran.status, Some(0), "{}", ran.stderr);
            assert!(ran.stdout.contains("aws-prod"), "{}", ran.stdout);
        }
        let refused = machine.run(OUTSIDER, &["credential", "list"], "");
        assert_eq!(refused.status, Some(1));
        assert_eq!(
            refused.stderr,
            "error: cannot read shared/org.yaml: the permission `secret_providers: read` is missing\n  \
             cause: only members of the groups `61001` and `61002` have it\n  \
             hint: ask an administrator for `usermod -aG 61001 USER`, then log in again\n"
        );
        assert!(!machine.cat(OUTSIDER, "shared/org.yaml"));
        assert!(machine.cat(READER, "shared/org.yaml"), "the key is usable");
        let refused = machine.add(READER, "mine");
        assert_eq!(refused.status, Some(1));
        let path = fs::canonicalize(machine.path("shared/org.yaml")).unwrap();
        assert_eq!(
            refused.stderr,
            format!(
                "error: cannot change {}: the permission `secret_providers: manage` is missing\n  \
                 cause: only members of the group `61002` have it\n  \
                 hint: ask an administrator for `usermod -aG 61002 USER`, then log in again\n",
                path.display()
            )
        );
        assert_eq!(machine.add(OUTSIDER, "mine").status, Some(1));
        if round == 0 {
            assert_eq!(machine.add(MANAGER, "aws-test").status, Some(0));
        }
    }
    assert_eq!((mode(&machine.path("shared")), mode(&machine.path("shared/org.yaml"))), (0o2770, 0o660));
    assert_eq!(fs::metadata(machine.path("shared/org.yaml")).unwrap().gid(), MANAGERS);
    assert_eq!(fs::read_dir(machine.path("shared")).unwrap().count(), 1, "no temporary file is left");
}

#[test]
fn a_reader_who_holds_the_lock_does_not_make_a_manager_wait_without_end() {
    let machine = Machine::shared();
    let directory = fs::canonicalize(machine.path("shared")).unwrap();
    let held = fs::File::open(&directory).unwrap();
    rustix::fs::flock(&held, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let refused = machine.add(MANAGER, "aws-prod");
    assert_eq!(
        (refused.status, refused.stderr),
        (
            Some(1),
            format!(
                "error: cannot change {directory}/org.yaml: another process has held the lock of {directory} for seconds\n  \
                 hint: run again; if the lock stays, `lslocks` and `fuser -v {directory}` show the process\n",
                directory = directory.display()
            )
        )
    );
    drop(held);
    assert_eq!(machine.add(MANAGER, "aws-prod").status, Some(0));
}

#[test]
fn what_a_killed_change_left_the_next_one_removes_whoever_makes_it() {
    let machine = Machine::shared();
    let left = machine.path("shared/.secretbake.org-AbCdEf.tmp");
    let mine = ["shared/.secretbake.mine", "shared/.secretbake.org-AbCdEf", "shared/AbCdEf.tmp"]
        .map(|path| machine.path(path));
    for path in mine.iter().chain([&left]) {
        fs::write(path, "canary").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    assert_eq!(machine.add(MANAGER, "aws-prod").status, Some(0));
    assert!(!left.exists() && mine.iter().all(|path| path.exists()));
}

#[test]
fn one_group_needs_no_list() {
    let machine = Machine::new();
    let ran = machine.run(ROOT, &["org", "init", "--dir", "shared", "--read-group", "61001"], "");
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    assert_eq!((mode(&machine.path("shared")), mode(&machine.path("shared/org.yaml"))), (0o2750, 0o640));
    assert!(machine.cat(READER, "shared/org.yaml") && !machine.cat(OUTSIDER, "shared/org.yaml"));
    assert_eq!(machine.add(READER, "mine").status, Some(1));
    assert_eq!(machine.add(ROOT, "ours").status, Some(0));
    assert_eq!(mode(&machine.path("shared/org.yaml")), 0o640);
    assert_eq!(fs::metadata(machine.path("shared/org.yaml")).unwrap().gid(), READERS);
    assert!(machine.cat(READER, "shared/org.yaml"));
    let both = ["org", "init", "--dir", "both", "--read-group", "61002", "--manage-group", "61002"];
    let ran = machine.run(ROOT, &both, "");
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    let listed = Command::new("ls").arg("-ld").arg(machine.path("both")).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    // with a list, a `+` follows
    assert!(listed.starts_with("drwxrws--- "), "{listed}");
}

#[test]
fn what_is_there_is_left_as_it_is() {
    let machine = Machine::shared();
    let before = fs::read(machine.path("shared/org.yaml")).unwrap();
    let again = machine.run(ROOT, &["org", "init", "--dir", "shared", "--manage-group", "61002"], "");
    assert_eq!(again.status, Some(2));
    assert!(again.stderr.starts_with("error: shared is not empty\n  hint: "), "{}", again.stderr);
    assert_eq!(fs::read(machine.path("shared/org.yaml")).unwrap(), before);
    let unknown = machine.run(ROOT, &["org", "init", "--dir", "new", "--read-group", "no-such-group"], "");
    assert_eq!(unknown.status, Some(2));
    assert!(unknown.stderr.contains("no group `no-such-group`") && !machine.path("new").exists(), "{}", unknown.stderr);
    let refused = machine.run(READER, &["org", "init", "--dir", "new", "--read-group", "61001"], "");
    assert_eq!(refused.status, Some(1), "{}", refused.stderr);
    assert!(!machine.path("new").exists());
}

#[test]
fn a_file_system_that_is_read_only_is_not_taken_for_a_missing_permission() {
    let machine = Machine::shared();
    // in a mount namespace of its own, so that nothing of it is left
    let mut command = Command::new("unshare");
    command.args([
        "--mount",
        "sh",
        "-ec",
        "mount --bind shared shared; mount -o remount,bind,ro shared; exec \"$@\"",
        "sh",
    ]);
    command.arg(machine.path("secretbake")).args(["credential", "add", "x", "--region", "us-east-1", "--org"]);
    let output = command.arg("shared/org.yaml").current_dir(machine.path("")).output().unwrap();
    let path = fs::canonicalize(machine.path("shared/org.yaml")).unwrap();
    assert_eq!(
        (output.status.code(), String::from_utf8(output.stderr).unwrap()),
        (
            Some(1),
            format!(
                "error: cannot write {}: its file system is read-only\n  \
                 hint: make the change where the file comes from, or mount its file system for writing\n",
                path.display()
            )
        )
    );
}

#[test]
fn an_immutable_file_is_not_taken_for_a_missing_permission() {
    let machine = Machine::shared();
    let path = fs::canonicalize(machine.path("shared/org.yaml")).unwrap();
    for fixed in [path.as_path(), path.parent().unwrap()] {
        let mark = |flag: &str| Command::new("chattr").arg(flag).arg(fixed).output().unwrap().status.success();
        assert!(mark("+i"), "the file system of TMPDIR has no immutable files");
        let ran = machine.add(ROOT, "x");
        assert!(mark("-i"));
        assert_eq!(
            (ran.status, ran.stderr),
            (
                Some(1),
                format!(
                    "error: cannot write {}: {fixed} is immutable\n  \
                     hint: clear the flag with `chattr -ia {fixed}`, then run again\n",
                    path.display(),
                    fixed = fixed.display()
                )
            )
        );
    }
}

#[test]
fn a_directory_is_made_in_one_that_is_there() {
    let machine = Machine::new();
    let ran = machine.run(ROOT, &["org", "init", "--dir", "a/b/c", "--manage-group", "61002"], "");
    assert_eq!(
        (ran.status, &*ran.stderr),
        (Some(2), "error: cannot create a/b/c: no such directory: a/b\n  hint: create it first: `mkdir -p a/b`\n")
    );
    assert!(!machine.path("a").exists());
}

#[test]
fn an_org_file_is_made_where_org_says() {
    let machine = Machine::new();
    let ran = machine.run(ROOT, &["org", "init", "--org", "mine.yaml"], "");
    assert_eq!((ran.status, &*ran.stdout), (Some(0), "mine.yaml\n"), "{}", ran.stderr);
    assert_eq!(mode(&machine.path("mine.yaml")), 0o600);
    assert!(!machine.path("secretbake.org.yaml").exists());
    for (arguments, said) in [
        (
            &["org", "init", "--org", "none/org.yaml"][..],
            "error: cannot write none/org.yaml: its directory is not there\n  \
             hint: make its directory first, or name another file with --org\n",
        ),
        (
            &["org", "init", "--org", "-"],
            "error: standard input is no org file to make\n  hint: name the file to make with --org, or leave --org out\n",
        ),
        (
            &["org", "init", "--org", "other.yaml", "--dir", "new", "--manage-group", "61002"],
            "error: --org and --dir both say where the org file is made\n  hint: leave --org out: the file is new/org.yaml\n",
        ),
    ] {
        let ran = machine.run(ROOT, arguments, "");
        assert_eq!(&*ran.stderr, said);
        assert_ne!(ran.status, Some(0));
    }
    assert!(!machine.path("new").exists() && !machine.path("other.yaml").exists());
}

#[test]
fn an_org_file_of_ones_own() {
    let machine = Machine::new();
    let ran = machine.run(ROOT, &["org", "init"], "");
    assert_eq!((ran.status, &*ran.stdout), (Some(0), "secretbake.org.yaml\n"), "{}", ran.stderr);
    assert_eq!(mode(&machine.path("secretbake.org.yaml")), 0o600);
    let again = machine.run(ROOT, &["org", "init"], "");
    assert_eq!(again.status, Some(2));
    assert!(again.stderr.contains("already exists"), "{}", again.stderr);
}
