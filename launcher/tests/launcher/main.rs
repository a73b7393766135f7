//! The launcher as it is shipped: built by `build_launcher.rs`, then run in roots that hold no more than it needs.
//!
//! Needs a static busybox (`apt-get install busybox-static`), and root or the right to make user namespaces.

mod becomes;
mod check;
mod elf;
mod fails;
mod root;

/// `build_launcher.rs`, as a build script includes it, and the programs it builds.
mod build {
    use std::path::{Path, PathBuf};
    use std::sync::LazyLock;

    include!("../../build_launcher.rs");

    const SOURCES: &str = env!("CARGO_MANIFEST_DIR");
    const SCRATCH: &str = env!("CARGO_TARGET_TMPDIR");

    static LAUNCHER: LazyLock<PathBuf> = LazyLock::new(|| build_from(Path::new(SOURCES), "shipped"));

    /// Returns the launcher, built once for all tests.
    pub fn launcher() -> &'static Path {
        &LAUNCHER
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

    /// Builds the launcher from a copy of its sources in a directory of that name.
    pub fn from_copy(name: &str) -> PathBuf {
        let copy = scratch(name);
        let status = std::process::Command::new("cp")
            .current_dir(SOURCES)
            .args(["-r", "src", "Cargo.toml", "Cargo.lock", "build.rs", "build_launcher.rs"])
            .arg(&copy)
            .status()
            .unwrap();
        assert!(status.success());
        build_from(&copy, &format!("{name}/out"))
    }

    fn build_from(sources: &Path, out: &str) -> PathBuf {
        build_launcher_for(env!("LAUNCHER_TEST_TARGET"), sources, &Path::new(SCRATCH).join(out))
    }
}
