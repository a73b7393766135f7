//! Owns the form's questions to a person at a terminal: an answer that is wrong is said to be so at once, and asked for again.

use zeroize::Zeroizing;

use super::super::ask;
use super::super::output::Output;
use crate::diagnostic::{Diagnostic, Error};
use crate::org::rules::Rule;
use crate::org::{Credential, Settings};

/// What a credential has before an edit; nothing before it is added.
#[derive(Default)]
pub(super) struct CurrentFields {
    pub access_key_id: Option<String>,
    pub has_role: bool,
    pub is_default: bool,
}

impl CurrentFields {
    /// Returns what a credential has.
    pub(super) fn from_credential(credential: &Credential) -> Self {
        let aws = match &credential.settings {
            Settings::Aws(aws) => Some(aws),
            Settings::Command(_) | Settings::File(_) => None,
        };
        let keys = aws.and_then(|aws| aws.keys.as_ref());
        CurrentFields {
            access_key_id: keys.map(|keys| keys.access_key_id.clone()),
            has_role: aws.is_some_and(|aws| aws.role.is_some()),
            is_default: credential.default,
        }
    }
}

/// The form of one credential.
pub(super) struct Form<'a> {
    /// Whether there is a person to ask for what no option gives.
    pub asks: bool,
    /// What the credential has; `None` for one that is added.
    pub before: Option<CurrentFields>,
    pub output: &'a Output,
}

/// What is wrong with an answer.
pub(super) type AnswerCheck = Result<(), Diagnostic>;

impl Form<'_> {
    /// Asks for a line until it is right.
    pub(super) fn line(&self, question: &str, check: &dyn Fn(&str) -> AnswerCheck) -> Result<String, Error> {
        loop {
            let answer = ask::line(question)?;
            match check(&answer) {
                Ok(()) => return Ok(answer),
                Err(problem) => self.output.problems(&[problem]),
            }
        }
    }

    /// Asks for a secret until it is right.
    pub(super) fn hidden(
        &self,
        question: &str,
        check: &dyn Fn(&str) -> AnswerCheck,
    ) -> Result<Zeroizing<String>, Error> {
        loop {
            let answer = ask::hidden(question)?;
            match check(&answer) {
                Ok(()) => return Ok(answer),
                Err(problem) => self.output.problems(&[problem]),
            }
        }
    }

    /// Asks whether the credential is the default; `None` leaves it as it is.
    pub(super) fn default(&self) -> Result<Option<bool>, Error> {
        let is_default = self.before.as_ref().is_some_and(|before| before.is_default);
        let choice = if is_default { "[Y/n]" } else { "[y/N]" };
        let said = |answer: &str| match answer.to_ascii_lowercase().as_str() {
            "y" | "yes" => Some(true),
            "n" | "no" => Some(false),
            "" => Some(is_default),
            _ => None,
        };
        let check = |answer: &str| match said(answer) {
            Some(_) => Ok(()),
            None => Err(Diagnostic::error("unknown-choice", "not one of the choices").hint("write y or n")),
        };
        let answer = self.line(&format!("Default for this provider? {choice}"), &check)?;
        Ok(said(&answer).filter(|wanted| *wanted != is_default))
    }
}

/// Checks an answer that may be blank.
pub(super) fn optional(rule: &Rule) -> impl Fn(&str) -> AnswerCheck {
    move |answer| if answer.is_empty() { Ok(()) } else { rule.check(answer) }
}

/// Checks a key, blank or not.
pub(super) fn printable(key: &str, name: &str) -> AnswerCheck {
    if key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(());
    }
    let what = format!("the {} holds spaces or other characters that no key has", name.to_lowercase());
    Err(Diagnostic::error("bad-key", what).hint("copy the key again, without quotes and spaces around it"))
}
