//! Owns the environment variables that secretbake itself reads: all their names are here. The AWS SDK reads its own.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use crate::diagnostic::{Diagnostic, Error};
use crate::org;
use crate::runtime::platform::{self, Folders};
use crate::store::engine::TlsFiles;

/// The variables, as read at the start.
#[derive(Clone)]
pub(super) struct Environment {
    /// `SECRETBAKE_LOG`: the log filter.
    pub log: Option<String>,
    /// `SECRETBAKE_ORG`: the org file.
    pub org: Option<PathBuf>,
    /// `SECRETBAKE_COMPLETE`: `off` offers a shell no names.
    pub complete: Option<String>,
    /// `SECRETBAKE_NO_COMPLETION_CACHE`: if set, no names are kept on disk.
    pub no_completion_cache: bool,
    /// `SOURCE_DATE_EPOCH`: the creation time for reproducible builds.
    pub source_date_epoch: Option<String>,
    /// From `HOME`, `XDG_CACHE_HOME` and `XDG_CONFIG_HOME`; on Windows also `USERPROFILE`, `LOCALAPPDATA`, `APPDATA` and `ProgramData`.
    pub folders: Folders,
    /// `TERM`: what the terminal can do.
    pub term: Option<String>,
    /// `DOCKER_HOST`, `DOCKER_CONTEXT`, `DOCKER_CONFIG`, `DOCKER_CERT_PATH`, `DOCKER_TLS` and `DOCKER_TLS_VERIFY`, as the Docker CLI
    /// reads them.
    pub docker_host: Option<String>,
    pub docker_context: Option<String>,
    pub docker_config: Option<PathBuf>,
    pub docker_cert_path: Option<PathBuf>,
    pub docker_tls: Option<String>,
    pub docker_tls_verify: Option<String>,
    /// Instead of the files in `docker_cert_path`; the Docker CLI has options for them and no variables.
    pub docker_tls_files: TlsFiles,
}

/// Variables that make the AWS SDK log bodies, which hold secrets.
const BODY_LOGGING: [&str; 2] = ["LOG_SENSITIVE_BODIES", "LOG_SIGNABLE_BODY"];

/// Variables that an ssh client needs.
const FOR_SSH: [&str; 12] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "TERM",
    "TMPDIR",
    "SSH_AUTH_SOCK",
    "SSH_AGENT_PID",
    "XDG_RUNTIME_DIR",
    "KRB5CCNAME",
];

/// Variables of the AWS SDK that decide which account it asks.
const ACCOUNT: [&str; 10] = [
    "AWS_PROFILE",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_ACCESS_KEY_ID",
    "AWS_ROLE_ARN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_SECRETS_MANAGER",
];

impl Environment {
    /// Reads the environment once. An empty variable counts as unset.
    pub(super) fn read() -> Self {
        let path = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let text = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        Environment {
            log: text("SECRETBAKE_LOG"),
            org: path("SECRETBAKE_ORG"),
            complete: text("SECRETBAKE_COMPLETE"),
            no_completion_cache: text("SECRETBAKE_NO_COMPLETION_CACHE").is_some(),
            source_date_epoch: text("SOURCE_DATE_EPOCH"),
            folders: platform::folders(&|name| env::var_os(name).filter(|value| !value.is_empty())),
            term: text("TERM"),
            docker_host: text("DOCKER_HOST"),
            docker_context: text("DOCKER_CONTEXT"),
            docker_config: path("DOCKER_CONFIG"),
            docker_cert_path: path("DOCKER_CERT_PATH"),
            docker_tls: text("DOCKER_TLS"),
            docker_tls_verify: text("DOCKER_TLS_VERIFY"),
            docker_tls_files: TlsFiles::default(),
        }
    }

    /// Returns the variables that an org file needs: where it may be, and the keys that it names.
    pub(super) fn for_org(&self) -> org::file::Variables<'_> {
        let variables = org::file::Variables::new(&|name| env::var_os(name));
        variables.with_places(self.org.as_deref(), &self.folders)
    }

    /// Returns the values of the variables that decide which account the AWS SDK asks.
    pub(super) fn account(&self) -> Vec<OsString> {
        ACCOUNT.iter().map(|name| env::var_os(name).unwrap_or_default()).collect()
    }

    /// Returns the names of all variables but those that an ssh client needs, for when it is unknown which of them hold keys.
    pub(super) fn variables_that_ssh_can_do_without(&self) -> Vec<OsString> {
        let is_needed =
            |name: &OsString| name.to_str().is_some_and(|name| FOR_SSH.contains(&name) || name.starts_with("LC_"));
        env::vars_os().map(|(name, _)| name).filter(|name| !is_needed(name)).collect()
    }

    /// Returns a variable that the user names in an option.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        env::var(name).ok().filter(|value| !value.is_empty())
    }

    /// Restarts without the variables that make the AWS SDK log bodies, if any is set: a process cannot safely unset its own
    /// variables, but another program can take its place. Returns that program's exit status where the system runs it beside this one.
    pub(super) fn without_body_logging(&self) -> Result<Option<ExitCode>, Error> {
        if BODY_LOGGING.iter().all(|name| env::var_os(name).is_none()) {
            return Ok(None);
        }
        let failed = |error: std::io::Error| {
            let what = format!("cannot start again without {}: {error}", BODY_LOGGING.join(" and "));
            Error::failed(Diagnostic::error("body-logging", what).hint("unset both: they write secrets to the log"))
        };
        let mut again = Command::new(env::current_exe().map_err(failed)?);
        again.args(env::args_os().skip(1));
        for name in BODY_LOGGING {
            again.env_remove(name);
        }
        // the name too: as `docker-secretbake` it is a plugin
        let name = env::args_os().next().unwrap_or_default();
        platform::replace_process(again, &name).map(Some).map_err(failed)
    }
}
