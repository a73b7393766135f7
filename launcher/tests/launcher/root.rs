//! A root directory with a launcher in it, and the words the tests are written in.
//!
//! Owns how a root is entered: `chroot`, in a user namespace unless the tests run as root.

use crate::shipped;
use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Where a root has the emulator, if the launcher needs one.
const EMULATOR: &str = "/emulator";

/// A root directory that is removed when it is dropped.
pub struct Root {
    path: PathBuf,
}

/// A run of `/.secretbake/launch` to come.
pub struct Run {
    root: PathBuf,
    wrapper: Vec<String>,
    environment: Vec<(String, String)>,
    cwd: Option<String>,
    arguments: Vec<String>,
    stranger: bool,
    launcher: bool,
}

/// How a run ended.
pub struct Ended {
    pub pid: u32,
    output: Output,
}

impl Root {
    /// Makes a root with the launcher, `/bin/busybox`, and `content` as the env file.
    pub fn baked(content: impl AsRef<[u8]>) -> Self {
        let root = Self::without_env();
        root.file("/.secretbake/env", content, 0o440);
        root
    }

    /// Makes a root with the launcher and `/bin/busybox` only.
    pub fn without_env() -> Self {
        Self::with_launcher(&shipped::launcher())
    }

    /// Makes a root with this launcher and `/bin/busybox` only.
    pub fn with_launcher(launcher: &Path) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let root = Self { path: shipped::scratch(&format!("root-{number}")) };
        root.copy(launcher, "/.secretbake/launch");
        if let Some(emulator) = shipped::emulator() {
            root.copy(&emulator, EMULATOR);
        }
        root.copy(&busybox(), "/bin/busybox");
        root
    }

    /// Writes a file of that mode.
    pub fn file(&self, path: &str, content: impl AsRef<[u8]>, mode: u32) {
        let path = self.make_room(path);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    }

    /// Makes a program that ends with `status`.
    pub fn program(&self, path: &str, status: u8) {
        self.file(path, format!("#!/bin/busybox sh\nexit {status}\n"), 0o755);
    }

    /// Makes a directory.
    pub fn directory(&self, path: &str) {
        fs::create_dir_all(self.make_room(path)).unwrap();
    }

    /// Returns the path outside of the root.
    pub fn outside(&self, path: &str) -> PathBuf {
        self.path.join(path.trim_start_matches('/'))
    }

    /// Prepares `/.secretbake/launch ARGUMENTS` with an empty environment.
    pub fn launch<const N: usize>(&self, arguments: [&str; N]) -> Run {
        Run {
            root: self.path.clone(),
            wrapper: Vec::new(),
            environment: Vec::new(),
            cwd: None,
            arguments: arguments.map(str::to_owned).to_vec(),
            stranger: false,
            launcher: true,
        }
    }

    /// Runs `env -0` in it and returns the entries it saw.
    pub fn environment(&self, inherited: &[(&str, &str)]) -> Vec<Vec<u8>> {
        let mut run = self.launch(["/bin/busybox", "env", "-0"]);
        for (name, value) in inherited {
            run = run.env(name, value);
        }
        let stdout = run.ends().succeeded();
        let mut entries: Vec<Vec<u8>> = stdout.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect();
        assert_eq!(entries.pop().as_deref(), Some(&b""[..]));
        entries
    }

    fn copy(&self, from: &Path, to: &str) {
        // by another process: a program that a test's other thread has open for writing cannot be run
        let copied = Command::new("cp").arg(from).arg(self.make_room(to)).status().unwrap();
        assert!(copied.success());
    }

    fn make_room(&self, path: &str) -> PathBuf {
        let path = self.outside(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

impl Run {
    /// Sets an inherited variable.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts in another working directory.
    pub fn cwd(mut self, path: &str) -> Self {
        self.cwd = Some(path.to_owned());
        self
    }

    /// Runs as a user who is neither the owner of the root's files nor in their group or, where the tests do not run as
    /// root, without root's rights over files: give those whom nobody may read the mode 0.
    pub fn by_stranger(mut self) -> Self {
        self.stranger = true;
        self
    }

    /// Starts the command without the launcher, for comparison.
    pub fn without_launcher(mut self) -> Self {
        self.launcher = false;
        self
    }

    /// Puts a command of the host that execs its arguments before everything.
    pub fn under<const N: usize>(mut self, wrapper: [&str; N]) -> Self {
        self.wrapper.extend(wrapper.map(str::to_owned));
        self
    }

    /// Runs a script of the host first that mounts at `$root`, which is a mount of its own, visible to this run only.
    pub fn with_mounts(self, script: &str) -> Self {
        let root = self.root.display();
        let script = format!(r#"root='{root}'; set -e; mount --bind "$root" "$root"; {script}; exec "$@""#);
        let user = if is_root() { "--mount" } else { "--map-root-user" };
        self.under(["unshare", user, "--mount", "sh", "-c", &script, "sh"])
    }

    /// Starts it with a closed standard input and captured output.
    pub fn start(&self) -> std::process::Child {
        let mut words = self.wrapper.clone();
        let is_root = self::is_root();
        if !is_root {
            words.extend(["unshare".to_owned(), "--map-root-user".to_owned()]);
            if self.stranger {
                // No other user is mapped, but the rights of root over files can be given up.
                let rights = "--bounding-set=-dac_override,-dac_read_search";
                words.extend(["setpriv".to_owned(), rights.to_owned()]);
            }
        }
        words.push("/usr/sbin/chroot".to_owned());
        if is_root && self.stranger {
            words.extend(["--userspec=12345:12345".to_owned(), "--groups=".to_owned()]);
        }
        words.extend([self.root.to_str().unwrap().to_owned(), "/bin/busybox".to_owned()]);
        // What is before needs the host's environment, so this is where the run's own begins.
        words.extend(["env".to_owned(), "-i".to_owned()]);
        words.extend(self.environment.iter().map(|(name, value)| format!("{name}={value}")));
        if let Some(path) = &self.cwd {
            let change = format!(r#"cd {path} && exec "$@""#);
            words.extend(["/bin/busybox", "sh", "-c", &change, "sh"].map(str::to_owned));
        }
        if self.launcher {
            words.extend(shipped::emulator().map(|_| EMULATOR.to_owned()));
            words.push("/.secretbake/launch".to_owned());
        }
        words.extend(self.arguments.iter().cloned());
        Command::new(&words[0])
            .args(&words[1..])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}; install util-linux and coreutils", words[0]))
    }

    /// Runs it to its end.
    pub fn ends(&self) -> Ended {
        let child = self.start();
        Ended { pid: child.id(), output: child.wait_with_output().unwrap() }
    }

    /// Runs it, and expects the launcher to end with `status` and to say exactly this on standard error.
    pub fn fails(&self, status: i32, message: &str, hint: &str) {
        let ended = self.ends();
        let stderr = String::from_utf8_lossy(&ended.output.stderr);
        assert_eq!(stderr, format!("secretbake launcher: {message}\nhint: {hint}\n"));
        assert_eq!(ended.output.status.code(), Some(status));
        assert_eq!(ended.output.stdout, b"");
    }
}

impl Ended {
    /// Expects success without a word on standard error, and returns standard output.
    pub fn succeeded(self) -> Vec<u8> {
        assert_eq!(String::from_utf8_lossy(&self.output.stderr), "");
        assert_eq!(self.output.status.code(), Some(0));
        self.output.stdout
    }

    /// Returns the exit status, unless a signal ended it.
    pub fn status(&self) -> Option<i32> {
        assert_eq!(String::from_utf8_lossy(&self.output.stderr), "");
        self.output.status.code()
    }

    /// Returns the signal that ended it.
    pub fn signal(&self) -> Option<i32> {
        self.output.status.signal()
    }
}

/// Ends each entry with NUL.
pub fn entries<const N: usize>(entries: [&str; N]) -> Vec<u8> {
    entries.iter().flat_map(|entry| [entry.as_bytes(), b"\0"].concat()).collect()
}

/// Says whether the tests run as root.
pub fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// Finds a static busybox: where `scripts/test` has put one, or in PATH.
fn busybox() -> PathBuf {
    if let Some(path) = std::env::var_os("SECRETBAKE_TEST_BUSYBOX") {
        return path.into();
    }
    let found = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .map(|directory| directory.join("busybox"))
        .find(|path| path.is_file());
    let Some(path) = found else {
        panic!("no busybox in PATH; hint: apt-get install busybox-static");
    };
    let is_static = crate::elf::Elf::read(&path).segments.iter().all(|segment| segment.kind != crate::elf::PT_INTERP);
    assert!(is_static, "{path:?} is not static; hint: apt-get install busybox-static");
    path
}

/// Makes a file of `length` NULs that takes no space.
pub fn sparse(path: &Path, length: u64) {
    let file = fs::File::create(path).unwrap();
    file.set_len(length).unwrap();
    (&file).flush().unwrap();
}

/// Shows bytes in a failed assertion.
pub fn shown(bytes: &[u8]) -> String {
    std::ffi::OsStr::from_bytes(bytes).to_string_lossy().into_owned()
}
