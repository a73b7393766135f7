//! The launcher as it is shipped, built by `scripts/launchers`, run in roots that hold no more than it needs.
//!
//! With `SECRETBAKE_TEST_LAUNCHER=aarch64` it is that architecture's, under qemu where the machine is of another one.
//!
//! Needs a static busybox (`apt-get install busybox-static`), age, and root or the right to make user namespaces.

mod becomes;
mod check;
mod elf;
mod fails;
mod keys;
mod root;
mod sealed;
mod sealed_files;

/// The programs that are shipped.
mod shipped {
    use std::path::{Path, PathBuf};

    const SCRATCH: &str = env!("CARGO_TARGET_TMPDIR");

    /// Returns the architecture whose launcher is tested: `$SECRETBAKE_TEST_LAUNCHER`, or this machine's.
    pub fn architecture() -> String {
        std::env::var("SECRETBAKE_TEST_LAUNCHER").unwrap_or_else(|_| std::env::consts::ARCH.to_owned())
    }

    /// Returns the launcher of [`architecture`].
    pub fn launcher() -> PathBuf {
        program(&architecture())
    }

    /// Returns the sealing launcher of [`architecture`].
    pub fn sealing_launcher() -> PathBuf {
        program(&format!("sealing-{}", architecture()))
    }

    fn program(name: &str) -> PathBuf {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../src/image/launcher").join(name);
        assert!(path.is_file(), "there is no launcher {name}: run scripts/launchers");
        path
    }

    /// Returns the emulator that the launcher needs on this machine, if it is of another architecture.
    pub fn emulator() -> Option<PathBuf> {
        if architecture() == std::env::consts::ARCH {
            return None;
        }
        let name = format!("qemu-{}-static", architecture());
        let found = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
            .map(|directory| directory.join(&name))
            .find(|path| path.is_file());
        Some(found.unwrap_or_else(|| panic!("no {name} in PATH; hint: apt-get install qemu-user-static")))
    }

    /// Makes an empty directory.
    pub fn scratch(name: &str) -> PathBuf {
        let path = Path::new(SCRATCH).join(name);
        match std::fs::remove_dir_all(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                panic!("{path:?}: {error}")
            }
            _ => std::fs::create_dir_all(&path).unwrap(),
        }
        path
    }
}
