//! "The engine went down": it is killed, or stands still, in the middle of the load of an image.
//!
//! The engines are these tests' own, since others use those of the test environment.

mod as_root {
    use std::collections::BTreeSet;
    use std::fs;
    use std::io::{Read as _, Write as _};
    use std::net::Shutdown;
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

    /// How engines are started; where, is for `isolated.sh` to say.
    const DOCKERD: &str = "dockerd --config-file RUN/settings --data-root DATA --exec-root RUN/exec --pidfile RUN/pid --host unix://RUN/engine.sock \
                           --group 0 --iptables=false --ip6tables=false --bridge=none --exec-opt native.cgroupdriver=cgroupfs";
    const PODMAN: &str = "podman --root DATA/root --runroot RUN/run --tmpdir RUN/tmp --cgroup-manager=cgroupfs \
                          system service --time=0 unix://RUN/engine.sock";

    /// An engine of a test's own, in namespaces of its own. It ends with the test.
    struct Daemon {
        name: &'static str,
        /// The folder that is its root: there, `/mnt` is the first of its folders and `/srv` the second.
        root: String,
        command: &'static str,
        settings: &'static str,
        folder: tempfile::TempDir,
        process: Option<Child>,
    }

    impl Daemon {
        fn start(name: &'static str, root: &str, command: &'static str, settings: &'static str) -> Self {
            needs_root();
            let folder = tempfile::tempdir().unwrap();
            fs::create_dir(folder.path().join("data")).unwrap();
            let mut daemon = Daemon { name, root: root.to_owned(), command, settings, folder, process: None };
            daemon.start_again();
            daemon
        }

        fn socket(&self) -> PathBuf {
            self.folder.path().join("run/engine.sock")
        }

        fn start_again(&mut self) {
            let (run, data) = (self.folder.path().join("run"), self.folder.path().join("data"));
            // what is of a process, the next one with the same number would take for its own
            let _ = fs::remove_dir_all(&run);
            fs::create_dir(&run).unwrap();
            fs::write(run.join("settings"), self.settings).unwrap();
            let [run, data] = [run, data].map(|path| path.to_str().unwrap().to_owned());
            let seen = if self.root == "/" { [&*run, &*data] } else { ["/mnt", "/srv"] };
            let command = self.command.replace("RUN", seen[0]).replace("DATA", seen[1]);
            let isolated = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/lib/isolated.sh");
            let mut unshare = Command::new("unshare");
            unshare.args(["--mount", "--pid", "--fork", "--kill-child", "--propagation", "private", "bash"]);
            unshare.arg(isolated).args([&self.root, &run, &data]).args(command.split_whitespace());
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

    /// When, in bytes of a load, and whether the engine is killed: in its head, in some of the image, in most of it. An engine that stands
    /// still costs the 15 seconds that an interrupted run has.
    const MOMENTS: [(usize, bool); 4] = [(1, true), (4096, true), (4096, false), (16384, true)];

    fn goes_down_in_mid_load(name: &'static str, root: &str, command: &'static str, settings: &'static str) {
        let mut daemon = Daemon::start(name, root, command, settings);
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
                daemon.start_again();
            } else {
                daemon.signal(Signal::CONT);
            }
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert!(!stderr.contains("canary") && !stderr.contains("panicked"), "{shown}: {stderr}");
            let hints = stderr.matches("hint: ").count();
            let standing = place.standing();
            match output.status.code() {
                Some(0) => assert_eq!(standing, new, "{shown}"),
                Some(1) if is_killed => {
                    assert_eq!(hints, 1, "{shown}: {stderr}");
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
            super::goes_down_in_mid_load("overlay2", "/", super::DOCKERD, settings);
        }
    }

    mod containerd {
        #[test]
        fn a_bake_survives_an_engine_that_goes_down_in_mid_load() {
            let settings = r#"{"features":{"containerd-snapshotter":true}}"#;
            let root = super::variable("SECRETBAKE_TEST_CONTAINERD_ROOT");
            super::goes_down_in_mid_load("containerd", &root, super::DOCKERD, settings);
        }
    }

    mod podman {
        #[test]
        fn a_bake_survives_an_engine_that_goes_down_in_mid_load() {
            super::goes_down_in_mid_load("podman", "/", super::PODMAN, "");
        }
    }
}
