//! Owns the question whether a credential can read what a manifest names, as far as the two texts tell.
//!
//! It is pure. A provider would refuse the same things later, and some of them less clearly.

use super::command::NAME;
use super::{Credential, Settings};
use crate::diagnostic::Diagnostic;
use crate::manifest::Version;
use crate::manifest::reference::SecretId;

impl Credential {
    /// Returns why the credential can never read this version of this secret; `None` if nothing speaks against it.
    pub fn refusal(&self, id: &SecretId, version: &Version) -> Option<Diagnostic> {
        match &self.settings {
            Settings::Command(settings) => self.refused_by_command(&settings.command, id, version),
            Settings::Aws(_) | Settings::File(_) => None,
        }
    }

    fn refused_by_command(&self, command: &[String], id: &SecretId, version: &Version) -> Option<Diagnostic> {
        let name = id.as_str();
        let begins = |argument: &String| argument.starts_with(NAME);
        if name.starts_with('-') && command.iter().any(begins) {
            let what = format!("the name begins with `-`, which {} takes for an option", command[0]);
            let hint = format!("write text in front of {NAME} in the `command` of `{}`, such as ./{NAME}", self.name);
            return Some(Diagnostic::error("name-is-an-option", what).hint(hint));
        }
        if name.split('/').any(|part| part == "..") {
            let what = "the name has a part `..`, which can lead out of the place that the command names";
            return Some(Diagnostic::error("name-leads-out", what).hint("write the secret's name in full"));
        }
        if *version != Version::Current {
            let what = format!("a version is named, and a command has none (credential `{}`)", self.name);
            let hint = "remove it: a command prints the value of now";
            return Some(Diagnostic::error("no-versions", what).hint(hint));
        }
        None
    }
}
