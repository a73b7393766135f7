//! A folder with a manifest and an org file, as a team has them, and the runs of secretbake in it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

use super::canary::{TALKATIVE, Values, is_clean, without_log};
use super::engine::Engine;
use super::moto::Moto;
use super::secretbake;

/// The project of one test.
pub struct Project {
    folder: tempfile::TempDir,
    /// What is known of bases: no other test has a part in it, nor has an earlier run.
    cache: tempfile::TempDir,
    variables: Vec<(String, String)>,
    /// What no run may show.
    values: Values,
}

/// The key that tests sign with: one of the canaries.
pub const SECRET_KEY: &str = "canary-secret-access-key-0123456789abcdef";
/// The External ID of tests: one of the canaries.
pub const EXTERNAL_ID: &str = "canary-external-id";

impl Project {
    /// Returns a project whose org file reads moto: by static keys as the default, through a role as `role`.
    pub fn with_moto(moto: &Moto) -> Self {
        let project = Project { values: moto.values.clone(), ..Project::empty() };
        project.write(
            "secretbake.org.yaml",
            &format!(
                "version: 1\ncredentials:\n  - name: aws\n    provider: aws-secrets-manager\n    region: us-east-1\n    default: true\n\
                 \x20   access_key_id: AKIAEXAMPLEEXAMPLE00\n    secret_access_key: {{ env: TEST_SECRET_KEY }}\n\
                 \x20 - name: role\n    provider: aws-secrets-manager\n    region: us-east-1\n\
                 \x20   access_key_id: AKIAEXAMPLEEXAMPLE00\n    secret_access_key: {{ env: TEST_SECRET_KEY }}\n\
                 \x20   role_arn: arn:aws:iam::123456789012:role/reader\n    external_id: {EXTERNAL_ID}\n"
            ),
        );
        fs::set_permissions(project.path("secretbake.org.yaml"), fs::Permissions::from_mode(0o600)).unwrap();
        project.variable("TEST_SECRET_KEY", SECRET_KEY).variable("AWS_ENDPOINT_URL", &moto.endpoint)
    }

    /// Returns a project whose secrets are in a file: the text of `secrets:`, indented by two.
    pub fn with_file(secrets: &str) -> Self {
        let project = Project::empty();
        project.write(
            "secretbake.org.yaml",
            "version: 1\ncredentials:\n  - name: local\n    provider: file\n    path: secrets.yaml\n    default: true\n",
        );
        project.write("secrets.yaml", &format!("version: 1\nsecrets:\n{secrets}"));
        for (_, value) in secrets.lines().filter_map(|line| line.split_once(": ")) {
            project.values.add(value.trim_matches(['"', '\'']));
        }
        project
    }

    /// Returns a project without any file.
    pub fn empty() -> Self {
        Project {
            folder: tempfile::tempdir().unwrap(),
            cache: tempfile::tempdir().unwrap(),
            variables: Vec::new(),
            values: Values::default(),
        }
    }

    /// Sets a variable for every run.
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Uses an engine for every run.
    pub fn on(self, engine: &Engine) -> Self {
        self.variable("DOCKER_HOST", &engine.host)
    }

    /// Returns where the runs keep what they know of bases.
    pub fn cache(&self) -> PathBuf {
        self.cache.path().join("secretbake")
    }

    /// Gives every run a `config.json` of Docker's.
    pub fn docker_config(self, config: &Value) -> Self {
        let folder = self.path("docker");
        fs::create_dir_all(&folder).unwrap();
        self.write("docker/config.json", &config.to_string());
        self.variable("DOCKER_CONFIG", folder.to_str().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// Installs a shell script as a program of this path.
    pub fn program(&self, name: &str, script: &str) {
        super::program(&self.path(name), script);
    }

    /// Returns secretbake in the project's folder.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = secretbake();
        command.current_dir(self.folder.path()).args(arguments).env("XDG_CACHE_HOME", self.cache.path());
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs secretbake with its most talkative log, and fails if that, or what it says, shows a secret. The log is not returned, unless
    /// the test asked for one itself.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        let mut command = self.command(arguments);
        let asks = |argument: &&str| argument.starts_with("--log") || argument.starts_with("-v");
        let logs = arguments.iter().any(asks) || self.variables.iter().any(|(name, _)| name == "SECRETBAKE_LOG");
        if !logs {
            command.env("SECRETBAKE_LOG", TALKATIVE);
        }
        let mut output = command.output().unwrap();
        for (stream, text) in [("standard output", &output.stdout), ("standard error", &output.stderr)] {
            let what = format!("{stream} of {arguments:?}");
            is_clean(&what, text);
            self.values.are_not_in(&what, &String::from_utf8_lossy(text));
        }
        if !logs {
            output.stderr = without_log(&String::from_utf8(output.stderr).unwrap()).0.into_bytes();
        }
        Ran::from_output(output)
    }

    /// Writes the manifest and bakes it.
    pub fn bake(&self, manifest: &str) -> Ran {
        self.write("deploy.yaml", manifest);
        self.run(&["bake", "deploy.yaml"])
    }

    /// Writes the manifest, bakes it, and expects that to work.
    pub fn baked(&self, manifest: &str) -> Ran {
        let ran = self.bake(manifest);
        assert_eq!(ran.status, Some(0), "{}", ran.stderr);
        ran
    }
}

/// What a run of secretbake did.
#[derive(Debug, PartialEq, Eq)]
pub struct Ran {
    pub status: Option<i32>,
    pub stdout: String,
    /// What was said, without the line that a bake ends with.
    pub stderr: String,
    /// The line that a bake ends with, its time as `[TIME]`; empty for other commands.
    pub closing: String,
}

impl Ran {
    pub fn from_output(Output { status, stdout, stderr }: Output) -> Self {
        let (stderr, closing) = closing(&String::from_utf8(stderr).unwrap());
        Ran { status: status.code(), stdout: String::from_utf8(stdout).unwrap(), stderr, closing }
    }

    /// Returns what was said, and of the closing line only what became of the image: `baked` or `unchanged`.
    pub fn brief(&self) -> String {
        format!("{}{}\n", self.stderr, self.closing.split(' ').next().unwrap())
    }
}

/// Returns what a bake said, and the line that it ended with, its time as `[TIME]`.
pub fn closing(stderr: &str) -> (String, String) {
    let said = stderr.strip_suffix('\n').unwrap_or(stderr);
    let at = said.rfind('\n').map_or(0, |at| at + 1);
    match redact_time(&said[at..]) {
        Some(line) => (said[..at].to_owned(), line),
        None => (stderr.to_owned(), String::new()),
    }
}

/// Returns the line that a bake ends with without its time; `None` for any other line.
pub fn redact_time(line: &str) -> Option<String> {
    let (before, after) = line.split_once(" in ")?;
    let end = after.find(" s: ").or_else(|| after.find(" s; "))?;
    let is_time = after[..end].chars().all(|c| c.is_ascii_digit() || ". min".contains(c));
    is_time.then(|| format!("{before} in [TIME]{}", &after[end + 2..]))
}
