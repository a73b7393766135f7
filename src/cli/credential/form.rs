//! Asks a person at a terminal for the form's fields. A wrong answer is reported at once and asked for again.

use zeroize::Zeroizing;

use super::super::ask;
use super::super::output::Output;
use crate::diagnostic::{Diagnostic, Error};
use crate::org::rules::Rule;
use crate::org::{Credential, Settings};

/// The fields of a credential before an edit; empty for a new one.
#[derive(Default)]
pub(super) struct CurrentFields {
    pub access_key_id: Option<String>,
    pub has_role: bool,
    pub is_default: bool,
}

impl CurrentFields {
    /// Returns the fields of a credential.
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
    /// Whether to ask a person for the fields that no option gives.
    pub asks: bool,
    /// The credential's fields before the edit; `None` for a new one.
    pub before: Option<CurrentFields>,
    pub output: &'a Output,
}

/// An error if the answer is wrong.
pub(super) type AnswerCheck = Result<(), Diagnostic>;

impl Form<'_> {
    /// Asks for a line until it is right.
    pub(super) fn line(&self, question: &str, check: &dyn Fn(&str) -> AnswerCheck) -> Result<String, Error> {
        loop {
            let answer = ask::line(question)?;
            match check(&answer) {
                Ok(()) => return Ok(answer),
                Err(problem) => self.ask_again(problem),
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
                Err(problem) => self.ask_again(problem),
            }
        }
    }

    /// Says what is wrong with an answer. What is asked for again is no problem of the run.
    fn ask_again(&self, problem: Diagnostic) {
        self.output.problems(&[problem]);
        self.output.forget_count();
    }

    /// Asks whether the credential is the default; `None` if that does not change.
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
