//! What the command gets: environment, arguments, identity; and what is got from it.

use crate::root::{Root, Run, entries, shown};
use crate::shipped;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

const SIGTERM: i32 = 15;

#[test]
fn values_arrive_byte_for_byte() {
    let long = format!("LONG={}", "x".repeat(64 * 1024));
    let pem = "PEM=-----BEGIN KEY-----\nabc\n\n-----END KEY-----\n";
    let baked = ["A=1", "EMPTY=", pem, "UTF8=ключ 🔑", "EQUALS=a=b=", "SPACES=  a  ", &long];
    let mut content = entries(baked);
    content.extend(b"RAW=\xff\xfe\x01\0");
    let got = Root::baked(content).environment(&[]);
    let mut expected: Vec<Vec<u8>> = baked.iter().map(|entry| entry.as_bytes().to_vec()).collect();
    expected.push(b"RAW=\xff\xfe\x01".to_vec());
    assert!(got == expected, "{:?}", got.iter().map(|entry| shown(entry)).collect::<Vec<_>>());
}

#[test]
fn an_empty_file_changes_nothing() {
    assert_eq!(Root::baked("").environment(&[("A", "1")]), [b"A=1"]);
}

#[test]
fn the_longest_entry_the_kernel_takes_arrives() {
    let entry = format!("KEY={}", "x".repeat(131_071 - "KEY=".len()));
    let got = Root::baked(entries([&entry])).environment(&[]);
    assert_eq!(got.len(), 1);
    assert!(got[0] == entry.as_bytes());
}

#[test]
fn a_file_of_whole_pages_is_read_to_its_end() {
    for length in [4096, 8192] {
        let entry = format!("KEY={}", "x".repeat(length - "KEY=\0".len()));
        let got = Root::baked(entries([&entry])).environment(&[]);
        assert_eq!(got, [entry.as_bytes()]);
    }
}

#[test]
fn an_inherited_variable_wins_even_if_empty() {
    let root = Root::baked(entries(["A=baked", "B=baked", "C=baked", "AB=baked"]));
    let mut got = root.environment(&[("A", "run"), ("B", "")]);
    // an emulator passes inherited variables on in an order of its own
    got.sort();
    assert_eq!(got, ["A=run", "AB=baked", "B=", "C=baked"].map(|entry| entry.as_bytes().to_vec()));
}

#[test]
fn the_first_of_duplicates_in_the_file_wins() {
    assert_eq!(Root::baked(entries(["A=1", "A=2"])).environment(&[]), [b"A=1"]);
}

#[test]
fn ten_thousand_variables_beside_a_thousand_take_no_time() {
    let content: Vec<u8> = (0..10_000).flat_map(|n| format!("NAME_{n}=baked\0").into_bytes()).collect();
    let root = Root::baked(content);
    let inherited: Vec<String> = (0..1_000).map(|n| format!("NAME_{n}")).collect();
    let inherited: Vec<(&str, &str)> = inherited.iter().map(|name| (&**name, "run")).collect();
    let start = Instant::now();
    let got = root.environment(&inherited);
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    assert_eq!(got.len(), 10_000);
    assert_eq!(got.iter().filter(|entry| entry.ends_with(b"=run")).count(), 1_000);
}

#[test]
fn arguments_are_passed_on() {
    let root = Root::baked("");
    let run = root.launch(["/bin/busybox", "printf", "%s|", "", "a b", "-x", "é\n", "--"]);
    assert_eq!(shown(&run.ends().succeeded()), "|a b|-x|é\n|--|");
}

#[test]
fn the_name_of_the_program_is_the_command_as_given() {
    let root = Root::baked("");
    std::os::unix::fs::symlink("busybox", root.outside("/bin/sh")).unwrap();
    for command in ["sh", "/bin/sh", "../bin/sh"] {
        let run = root.launch([command, "-c", "echo $0"]).cwd("/bin");
        assert_eq!(shown(&run.ends().succeeded()), format!("{command}\n"));
    }
}

#[test]
fn the_process_stays_the_same() {
    let root = Root::baked(entries(["A=1"]));
    let ended = root.launch(["/bin/busybox", "sh", "-c", "echo $$"]).ends();
    assert_eq!(format!("{}\n", ended.pid), shown(&ended.succeeded()));
}

#[test]
fn the_exit_status_is_the_commands() {
    let root = Root::baked("");
    for status in [0, 1, 42, 125, 126, 127, 255] {
        let run = root.launch(["/bin/busybox", "sh", "-c", &format!("exit {status}")]);
        assert_eq!(run.ends().status(), Some(status));
    }
}

#[test]
fn a_signal_from_outside_reaches_the_command() {
    let root = Root::baked("");
    let mut child = root.launch(["/bin/busybox", "sleep", "60"]).start();
    wait_for_sleep(child.id());
    let kill = std::process::Command::new("kill").arg(child.id().to_string()).status().unwrap();
    assert!(kill.success());
    let status = child.wait().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(SIGTERM));
}

#[test]
fn a_signal_from_within_ends_it_as_a_signal() {
    let root = Root::baked("");
    let ended = root.launch(["/bin/busybox", "sh", "-c", "kill -TERM $$"]).ends();
    assert_eq!(ended.signal(), Some(SIGTERM));
}

/// Takes signals 32 and 33 out of a line of `/proc/PID/status`: libc keeps them to itself, and so does an emulator.
fn without_the_emulators(line: &str) -> String {
    let (name, signals) = line.split_once(":\t").unwrap();
    format!("{name}: {:x}", u64::from_str_radix(signals, 16).unwrap() & !(3 << 31))
}

#[test]
fn signals_are_inherited_as_they_are() {
    let root = Root::baked(entries(["A=1"]));
    // an emulator handles signals itself, and so passes on none that is ignored
    let ignoring = shipped::emulator().is_none().then_some(r#"trap "" HUP USR1; exec "$@""#);
    for shell in [r#"exec "$@""#].into_iter().chain(ignoring) {
        // the process that started the tests may ignore signals
        let run =
            || root.launch(["/bin/busybox", "sleep", "60"]).under(["env", "--default-signal", "sh", "-c", shell, "sh"]);
        let signals = |run: Run| {
            let mut child = run.start();
            let status = wait_for_sleep(child.id());
            child.kill().unwrap();
            child.wait().unwrap();
            let is_signals = |line: &&str| line.starts_with("Sig") && !line.starts_with("SigQ");
            status.lines().filter(is_signals).map(without_the_emulators).collect::<Vec<_>>()
        };
        let inherited = signals(run().without_launcher());
        assert_eq!(inherited.len(), 4, "pending, blocked, ignored, caught: {inherited:?}");
        assert_eq!(signals(run()), inherited);
    }
}

#[test]
fn descriptors_are_inherited_and_none_is_added() {
    let root = Root::baked(entries(["A=1"]));
    let run = || root.launch(["/bin/busybox", "sleep", "60"]);
    let descriptors = |run: Run| {
        let mut child = run.start();
        wait_for_sleep(child.id());
        let open = std::fs::read_dir(format!("/proc/{}/fd", child.id())).unwrap();
        let open: BTreeSet<_> = open.map(|entry| entry.unwrap().file_name()).collect();
        child.kill().unwrap();
        child.wait().unwrap();
        open
    };
    assert_eq!(descriptors(run()), descriptors(run().without_launcher()));
}

#[test]
fn the_command_is_searched_in_the_merged_path() {
    let root = Root::baked(entries(["PATH=/missing:/baked"]));
    root.program("/baked/app", 11);
    root.program("/run/app", 12);
    root.program("/usr/bin/app", 13);
    assert_eq!(root.launch(["app"]).ends().status(), Some(11));
    assert_eq!(root.launch(["app"]).env("PATH", "/run:/baked").ends().status(), Some(12));

    let root = Root::baked("");
    root.program("/usr/bin/app", 13);
    assert_eq!(root.launch(["app"]).ends().status(), Some(13));
}

#[test]
fn what_cannot_be_executed_is_passed_over() {
    let root = Root::baked("");
    root.directory("/one/app");
    root.file("/two/app", "#!/bin/busybox sh\n", 0o644);
    root.program("/three/app", 14);
    assert_eq!(root.launch(["app"]).env("PATH", "/one:/two:/three").ends().status(), Some(14));
}

#[test]
fn a_command_with_a_slash_is_not_searched() {
    let root = Root::baked("");
    root.program("/app/bin/run", 15);
    root.program("/bin/bin/run", 16);
    assert_eq!(root.launch(["bin/run"]).cwd("/app").env("PATH", "/bin").ends().status(), Some(15));
    assert_eq!(root.launch(["./bin/run"]).cwd("/app").ends().status(), Some(15));
}

/// Waits until the process has become `sleep`, and returns its status as the kernel shows it.
pub fn wait_for_sleep(pid: u32) -> String {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap();
        if command == b"/bin/busybox\0sleep\x0060\0" {
            return std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        }
        assert!(Instant::now() < deadline, "{} did not become sleep", shown(&command));
        std::thread::sleep(Duration::from_millis(5));
    }
}
