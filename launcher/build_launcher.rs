// Builds the launcher with Cargo, for a build script to `include!` and for the launcher's own tests.
//
// Owns the compiler's flags and what of the environment reaches that build, so that the same sources give the same
// bytes wherever, and under whatever tool (clippy, coverage), the build script runs. Must not need a crate.

/// Builds the launcher for Cargo's `TARGET` under `out_dir` and returns the path of the program.
///
/// For a build script: it reads the variables Cargo sets for one, says on which files it depends, and panics with a
/// message for the user if there is no launcher for that target or the build fails.
#[allow(dead_code, reason = "the launcher's tests call what it is made of")]
fn build_launcher(launcher_dir: &std::path::Path, out_dir: &std::path::Path) -> std::path::PathBuf {
    for input in ["src", "Cargo.toml", "Cargo.lock", "build.rs", "build_launcher.rs"] {
        println!("cargo::rerun-if-changed={}", launcher_dir.join(input).display());
    }
    let target = std::env::var("TARGET").expect("Cargo sets TARGET for build scripts");
    build_launcher_for(&target, launcher_dir, out_dir)
}

/// Builds the launcher for `target`, a triple of Linux on x86_64 or aarch64, and returns the path of the program.
fn build_launcher_for(target: &str, launcher_dir: &std::path::Path, out_dir: &std::path::Path) -> std::path::PathBuf {
    let has_launcher = ["x86_64-", "aarch64-"].iter().any(|arch| target.starts_with(arch))
        && target.contains("-linux-")
        && !target.ends_with("x32")
        && !target.ends_with("_ilp32");
    assert!(has_launcher, "cannot build the launcher for {target}: it is a program for Linux on x86_64 or aarch64");
    let launcher_dir = launcher_dir
        .canonicalize()
        .unwrap_or_else(|error| panic!("cannot find the launcher's sources at {launcher_dir:?}: {error}"));
    let target_dir = out_dir.join("launcher-target");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());

    let mut command = std::process::Command::new(&cargo);
    command
        .args(["build", "--release", "--locked", "--target", target])
        .arg("--manifest-path")
        .arg(launcher_dir.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&target_dir)
        .current_dir(&launcher_dir)
        // A build script's output is read by Cargo as instructions.
        .stdout(std::process::Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(changes_the_launcher) {
            command.env_remove(name);
        }
    }
    command
        .env("CARGO_ENCODED_RUSTFLAGS", launcher_flags(target, &launcher_dir, &target_dir))
        // Empty, since a wrapper may also come from Cargo's configuration.
        .env("RUSTC_WRAPPER", "")
        .env("RUSTC_WORKSPACE_WRAPPER", "");

    let status =
        command.status().unwrap_or_else(|error| panic!("cannot build the launcher: cannot run {cargo:?}: {error}"));
    assert!(
        status.success(),
        "cannot build the launcher for {target} from {launcher_dir:?}: `cargo build` ended with {status}, for the reason above"
    );
    target_dir.join(target).join("release/secretbake-launcher")
}

/// Returns the compiler's flags as `CARGO_ENCODED_RUSTFLAGS` has them; with `--target` they do not reach build scripts.
fn launcher_flags(target: &str, launcher_dir: &std::path::Path, target_dir: &std::path::Path) -> std::ffi::OsString {
    let cargo_home = std::env::var_os("CARGO_HOME")
        .map(std::path::PathBuf::from)
        .or_else(|| Some(std::path::PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    // The last prefix that fits counts, and the target directory may be inside the launcher's.
    let prefixes =
        [(cargo_home.as_deref(), "/cargo"), (Some(launcher_dir), "/launcher"), (Some(target_dir), "/target")];

    let mut flags = std::ffi::OsString::from("-Crelocation-model=static");
    if target.contains("musl") {
        // Otherwise musl's start files are linked, which want a `main`.
        flags.push("\x1f-Clink-self-contained=no");
    }
    for (path, name) in prefixes {
        if let Some(path) = path {
            flags.push("\x1f--remap-path-prefix=");
            flags.push(path);
            flags.push("=");
            flags.push(name);
        }
    }
    flags
}

/// Says whether a variable of the environment is one that could change the launcher's bytes: flags, profiles and
/// wrappers of the outer build, and what Cargo tells the build script about another package.
fn changes_the_launcher(name: &str) -> bool {
    const NAMES: &[&str] =
        &["CARGO_INCREMENTAL", "CLIPPY_ARGS", "LLVM_PROFILE_FILE", "RUSTC_BOOTSTRAP", "RUSTC_LINKER", "RUSTFLAGS"];
    const PREFIXES: &[&str] = &["CARGO_CFG_", "CARGO_FEATURE_", "CARGO_PKG_", "CARGO_PROFILE_", "DEP_"];
    NAMES.contains(&name)
        || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        || name.starts_with("CARGO_BUILD_") && name != "CARGO_BUILD_JOBS"
        || name.starts_with("CARGO_TARGET_") && name.ends_with("_RUSTFLAGS")
}
