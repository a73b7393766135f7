//! "The engine went down": it is killed, or stands still, in the middle of the load of an image.
//!
//! The engines are these tests' own, since others use those of the test environment.

mod as_root {
    use std::collections::BTreeSet;
    use std::fs;
    use std::io::{Read as _, Write as _};
    use std::net::Shutdown;
    use std::os::unix::fs::MetadataExt as _;
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::path::{Path, PathBuf};
    use std::process::{Child, Command, Stdio};
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::thread;
    use std::time::Duration;

    use rustix::process::{Pid, Signal, kill_process};

    use crate::mishaps::place::{Place, spawn};
    use crate::mishaps::report;
    use crate::support::engine::Engine;
    use crate::support::{needs_root, variable};

    /// An engine of a test's own, in namespaces of its own. It ends with the test.
    struct Daemon {
        name: &'static str,
        /// The folder that is its root: there, `/mnt` is the first of its folders and `/srv` the second.
        root: String,
        /// `docker` or `podman`: the test environment says how it is started.
        service: &'static str,
        settings: &'static str,
        folder: tempfile::TempDir,
        process: Option<Child>,
    }

    impl Daemon {
        fn start(name: &'static str, root: &str, service: &'static str, settings: &'static str) -> Self {
            needs_root();
            let folder = tempfile::tempdir().unwrap();
            fs::create_dir(folder.path().join("data")).unwrap();
            let mut daemon = Daemon { name, root: root.to_owned(), service, settings, folder, process: None };
            daemon.start_again();
            daemon
        }

        fn socket(&self) -> PathBuf {
            self.folder.path().join("run/engine.sock")
        }

        /// Returns the folder of its temporary files.
        fn temporary(&self) -> PathBuf {
            self.folder.path().join("run/temporary")
        }

        /// Waits until it has removed its temporary files.
        #[track_caller]
        fn removes_its_temporary_files(&self) {
            let is_empty = || fs::read_dir(self.temporary()).unwrap().next().is_none();
            let there = (0..600).any(|_| {
                thread::sleep(Duration::from_millis(100));
                is_empty()
            });
            assert!(there, "{}: {:?}", self.name, fs::read_dir(self.temporary()).unwrap().collect::<Vec<_>>());
        }

        fn start_again(&mut self) {
            let (run, data) = (self.folder.path().join("run"), self.folder.path().join("data"));
            // what is of a process, the next one with the same number would take for its own
            let _ = fs::remove_dir_all(&run);
            fs::create_dir_all(self.temporary()).unwrap();
            fs::write(run.join("engine.json"), self.settings).unwrap();
            let [run, data] = [run, data].map(|path| path.to_str().unwrap().to_owned());
            let seen = if self.root == "/" { [&*run, &*data] } else { ["/mnt", "/srv"] };
            let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
            let command =
                Command::new(scripts.join("testenv")).args(["command", self.service]).args(seen).output().unwrap();
            assert!(command.status.success(), "{}", String::from_utf8_lossy(&command.stderr));
            let command = String::from_utf8(command.stdout).unwrap();
            let mut unshare = Command::new("unshare");
            unshare.args(["--mount", "--pid", "--fork", "--kill-child", "--propagation", "private", "bash"]);
            unshare.arg(scripts.join("lib/isolated.sh")).args([&self.root, &run, &data]).args(command.lines());
            unshare.env("TMPDIR", format!("{}/temporary", seen[0]));
            let log = fs::File::create(self.folder.path().join("log")).unwrap();
            unshare.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
            self.process = Some(unshare.spawn().unwrap());
            let answers = || {
                let ping = Command::new("docker").args(["-H", &self.host(), "version"]).output().unwrap();
                ping.status.success()
            };
            let there = (0..600).any(|_| {
                thread::sleep(Duration::from_millis(100));
                answers()
            });
            let said = fs::read_to_string(self.folder.path().join("log")).unwrap();
            assert!(there, "{} does not start: {said}", self.name);
        }

        fn host(&self) -> String {
            format!("unix://{}", self.socket().display())
        }

        /// Kills everything in its namespaces.
        fn kill(&mut self) {
            let Some(mut process) = self.process.take() else { return };
            process.kill().unwrap();
            process.wait().unwrap();
            // the kernel ends the processes of the namespace after that
            while UnixStream::connect(self.socket()).is_ok() {
                thread::sleep(Duration::from_millis(5));
            }
        }

        /// Sends a signal to the engine, which is the only child of the first process in its namespaces.
        fn signal(&self, signal: Signal) {
            let outside = self.process.as_ref().unwrap().id();
            let child = |of: u32| -> u32 {
                let children = fs::read_to_string(format!("/proc/{of}/task/{of}/children")).unwrap();
                children.split_whitespace().next().unwrap().parse().unwrap()
            };
            let engine = i32::try_from(child(child(outside))).unwrap();
            kill_process(Pid::from_raw(engine).unwrap(), signal).unwrap();
        }
    }

    impl Drop for Daemon {
        fn drop(&mut self) {
            self.kill();
        }
    }

    /// Hands everything on to the engine, and tells when this much of a load has passed.
    struct Relay {
        folder: tempfile::TempDir,
        passed: Receiver<()>,
    }

    impl Relay {
        fn start(engine: PathBuf, bytes: usize) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let listener = UnixListener::bind(folder.path().join("relay.sock")).unwrap();
            let (tell, passed) = channel();
            thread::spawn(move || {
                for client in listener.incoming() {
                    let client = client.unwrap();
                    // as from an engine that is not there
                    let Ok(upstream) = UnixStream::connect(&engine) else { continue };
                    let (reader, writer) = (upstream.try_clone().unwrap(), client.try_clone().unwrap());
                    let tell = tell.clone();
                    thread::spawn(move || copy(reader, writer, None));
                    thread::spawn(move || copy(client, upstream, Some((tell, bytes))));
                }
            });
            Relay { folder, passed }
        }

        fn host(&self) -> String {
            format!("unix://{}", self.folder.path().join("relay.sock").display())
        }
    }

    fn copy(mut from: UnixStream, mut to: UnixStream, mut tell: Option<(Sender<()>, usize)>) {
        let (mut buffer, mut of_load) = ([0; 512], None);
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            let is_load = buffer[..read].windows(12).any(|window| window == b"/images/load");
            if to.write_all(&buffer[..read]).is_err() {
                break;
            }
            of_load = of_load.or(is_load.then_some(0)).map(|sent| sent + read);
            if tell.as_ref().is_some_and(|(_, bytes)| of_load >= Some(*bytes)) {
                // the test may have seen enough
                let _ = tell.take().unwrap().0.send(());
            }
        }
        let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    }

    /// Expects of the files that an engine leaves that only its user can read them: they may hold the secrets.
    #[track_caller]
    fn nobody_else_reads(folder: &Path) {
        for entry in fs::read_dir(folder).unwrap() {
            let (path, mode) = entry.map(|entry| (entry.path(), entry.metadata().unwrap().mode())).unwrap();
            report(&format!("left by a killed engine: {}", path.display()));
            assert_eq!(mode & 0o077, 0, "{}", path.display());
        }
    }

    /// When, in bytes of a load, and whether the engine is killed: in its head, in some of the image, in most of it. An engine that stands
    /// still costs the 15 seconds that an interrupted run has.
    const MOMENTS: [(usize, bool); 4] = [(1, true), (4096, true), (4096, false), (16384, true)];

    fn goes_down_in_mid_load(name: &'static str, root: &str, service: &'static str, settings: &'static str) {
        let mut daemon = Daemon::start(name, root, service, settings);
        let place = Place::engine(Engine::at(daemon.name, daemon.host()));
        let (old, new) = (place.bake("s0"), place.bake("s1"));
        let known = BTreeSet::from([old.clone(), new.clone()]);
        let manifest = place.manifest("s1");
        for (bytes, is_killed) in MOMENTS {
            let shown = format!("{}, {} after {bytes} bytes", place.name, if is_killed { "killed" } else { "stopped" });
            assert_eq!(place.bake("s0"), old, "{shown}");
            let relay = Relay::start(daemon.socket(), bytes);
            let mut bake = place.command(&manifest);
            bake.env("DOCKER_HOST", relay.host());
            let child = spawn(bake);
            let process = child.id();
            relay.passed.recv_timeout(Duration::from_secs(60)).expect(&shown);
            if is_killed {
                daemon.kill();
            } else {
                daemon.signal(Signal::STOP);
                kill_process(Pid::from_child(&child), Signal::INT).unwrap();
            }
            let output = child.wait_with_output().unwrap();
            if is_killed {
                nobody_else_reads(&daemon.temporary());
                daemon.start_again();
            } else {
                daemon.signal(Signal::CONT);
                daemon.removes_its_temporary_files();
            }
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert!(!stderr.contains("canary") && !stderr.contains("panicked"), "{shown}: {stderr}");
            let hints = stderr.matches("hint: ").count();
            let standing = place.standing();
            match output.status.code() {
                Some(0) => assert_eq!(standing, new, "{shown}"),
                Some(1) if is_killed => {
                    // what Podman leaves has a hint of its own
                    assert_eq!(hints, 1 + usize::from(service == "podman"), "{shown}: {stderr}");
                    assert!(known.contains(&standing), "{shown}: {standing}: {stderr}");
                }
                Some(130) if !is_killed => assert!(known.contains(&standing), "{shown}: {standing}"),
                status => panic!("{shown}: {status:?}: {stderr}"),
            }
            report(&format!("{shown}: {:?} {stderr}", output.status.code()));
            assert_eq!(place.bake("s1"), new, "{shown}");
            assert_eq!(place.left(&[process], &known), Vec::<String>::new(), "{shown}");
        }
        drop(place);
    }

    mod overlay2 {
        #[test]
        fn a_bake_survives_an_engine_that_goes_down_in_mid_load() {
            let settings = r#"{"features":{"containerd-snapshotter":false},"storage-driver":"overlay2"}"#;
            super::goes_down_in_mid_load("overlay2", "/", "docker", settings);
        }
    }

    mod containerd {
        #[test]
        fn a_bake_survives_an_engine_that_goes_down_in_mid_load() {
            let settings = r#"{"features":{"containerd-snapshotter":true}}"#;
            let root = super::variable("SECRETBAKE_TEST_CONTAINERD_ROOT");
            super::goes_down_in_mid_load("containerd", &root, "docker", settings);
        }
    }

    mod podman {
        #[test]
        fn a_bake_survives_an_engine_that_goes_down_in_mid_load() {
            super::goes_down_in_mid_load("podman", "/", "podman", "");
        }

        #[test]
        fn a_bake_that_is_killed_in_mid_load_leaves_no_temporary_file() {
            let daemon = super::Daemon::start("podman", "/", "podman", "");
            let place = super::Place::engine(super::Engine::at(daemon.name, daemon.host()));
            let (manifest, old) = (place.manifest("s1"), place.bake("s0"));
            for bytes in [1, 4096, 16384] {
                let relay = super::Relay::start(daemon.socket(), bytes);
                let mut bake = place.command(&manifest);
                bake.env("DOCKER_HOST", relay.host());
                let mut child = super::spawn(bake);
                relay.passed.recv_timeout(super::Duration::from_secs(60)).unwrap();
                child.kill().unwrap();
                child.wait().unwrap();
                daemon.removes_its_temporary_files();
                assert_eq!(place.bake("s0"), old);
            }
        }
    }
}
