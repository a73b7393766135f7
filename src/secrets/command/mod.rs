//! Owns the provider `command`: another secret manager's own client prints the value.
//!
//! The secret's name is one argument and never goes through a shell. The value comes over a pipe, and is in no file, argument
//! or variable. The client sees only the variables that the org file lists, has no terminal, and ends within a time limit.

mod diagnose;
mod process;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::Semaphore;

use self::diagnose::CommandCall;
use self::process::{ClientExit, ClientFault, ClientOutput};
use super::{Provider, ProviderError, ReadResult, SecretDescription, SecretValue, VersionInfo};
use crate::diagnostic::scrub;
use crate::manifest::Version;
use crate::manifest::reference::SecretId;
use crate::org::CommandSettings;
use crate::org::command::NAME;
use crate::org::file::Variables;
use crate::runtime::platform::{NEEDED_VARIABLES, is_program, program_files};
use crate::secret::SecretBytes;

/// How many clients of one credential run at once: each is a process, and some are large.
const AT_ONCE: usize = 8;

/// The version stage that a value without versions has.
const CURRENT: &str = "AWSCURRENT";

/// One credential that reads secrets by a command.
pub struct CommandProvider {
    credential: String,
    settings: CommandSettings,
    /// Where the client runs, and where a program with a relative path is.
    directory: PathBuf,
    /// The client's whole environment.
    environment: Vec<(String, OsString)>,
    limit: Duration,
    running: Semaphore,
}

impl CommandProvider {
    /// Returns the provider of a credential. `directory` is the org file's; `limit` is how long one client may take.
    pub fn new(
        credential: &str,
        settings: &CommandSettings,
        directory: &Path,
        variables: Variables<'_>,
        limit: Duration,
    ) -> Self {
        let listed = settings.environment.iter().map(String::as_str);
        let given = |name: &str| Some((name.to_owned(), variables.get(name)?));
        for (_, value) in listed.clone().filter_map(given) {
            let is_public = Path::new(&value).is_absolute() && Path::new(&value).exists()
                || ["http://", "https://"].iter().any(|scheme| value.as_encoded_bytes().starts_with(scheme.as_bytes()));
            if !is_public {
                scrub::remember(value.as_encoded_bytes());
            }
        }
        CommandProvider {
            credential: credential.to_owned(),
            settings: settings.clone(),
            directory: if directory.as_os_str().is_empty() { PathBuf::from(".") } else { directory.to_owned() },
            environment: NEEDED_VARIABLES.iter().copied().chain(listed).filter_map(given).collect(),
            limit,
            running: Semaphore::new(AT_ONCE),
        }
    }

    /// Returns the program that the command names, as it is found in PATH.
    pub fn program(&self) -> Result<PathBuf, ProviderError> {
        let program = Path::new(&self.settings.command[0]);
        let candidates: Vec<PathBuf> = match program.components().count() {
            1 => {
                let path = self.environment.iter().find(|(name, _)| name == "PATH").map(|(_, path)| path);
                let folders = path.map(|path| std::env::split_paths(path).collect::<Vec<_>>()).unwrap_or_default();
                folders.iter().flat_map(|folder| program_files(&folder.join(program))).collect()
            }
            // a relative path starts at the org file, as every other one in it
            _ => program_files(&self.directory.join(program)),
        };
        let found = candidates.iter().find(|path| is_program(path));
        let found = found.ok_or_else(|| self.caller(None).no_program(program.components().count() == 1))?;
        Ok(std::path::absolute(found).unwrap_or_else(|_| found.clone()))
    }

    fn caller<'a>(&'a self, id: Option<&'a SecretId>) -> CommandCall<'a> {
        CommandCall { credential: &self.credential, command: &self.settings.command, id, seconds: self.limit.as_secs() }
    }

    /// Returns the arguments for a secret.
    fn arguments(&self, id: &SecretId) -> Vec<String> {
        self.settings.command[1..].iter().map(|argument| argument.replace(NAME, id.as_str())).collect()
    }

    async fn run(&self, id: &SecretId) -> Result<SecretBytes, ProviderError> {
        let caller = self.caller(Some(id));
        let program = self.program()?;
        // it is never closed
        let _permit = self.running.acquire().await;
        let client = process::ClientProgram {
            program: &program,
            arguments: self.arguments(id),
            environment: &self.environment,
            directory: &self.directory,
        };
        match process::run(&client, self.limit).await {
            Ok(ClientOutput { end: ClientExit::Status(0), value, .. }) => Ok(value),
            Ok(output) => {
                // a client that fails may repeat what it has printed
                output.value.remember();
                Err(caller.failed(output.end, output.said.expose()))
            }
            Err(ClientFault { kind, said }) => Err(caller.unfinished(&kind, said.expose())),
        }
    }
}

impl Provider for CommandProvider {
    async fn read(&self, id: &SecretId, version: &Version) -> ReadResult {
        if *version != Version::Current {
            return Err(self.caller(Some(id)).no_versions());
        }
        let value = self.run(id).await?;
        let bytes = match self.settings.trim_newline {
            true => without_newline(&value),
            false => value,
        };
        let binary = std::str::from_utf8(bytes.expose()).is_err();
        Ok(SecretValue { bytes, binary, arn: None, version_id: None })
    }

    /// Returns a secret with one version without an ID, and runs nothing.
    async fn describe(&self, id: &SecretId, _: &Version) -> Result<SecretDescription, ProviderError> {
        let versions = vec![VersionInfo { id: None, stages: vec![CURRENT.to_owned()] }];
        Ok(SecretDescription::of_versions(id.as_str(), versions))
    }

    fn describes(&self) -> bool {
        false
    }

    async fn list(&self, _: &str) -> Result<Vec<String>, ProviderError> {
        Err(self.caller(None).no_list())
    }
}

/// Returns a value without the newline that a client writes after it.
fn without_newline(value: &SecretBytes) -> SecretBytes {
    let bytes = value.expose();
    let line = bytes.strip_suffix(b"\n").map_or(bytes, |line| line.strip_suffix(b"\r").unwrap_or(line));
    SecretBytes::new(line.to_vec())
}
