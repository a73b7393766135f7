//! Reads `seal:`, of a manifest and of the org file. No problem has the text of what is no recipient: it may be a key.

use super::SealChoice;
use crate::image::seal::Recipient;
use crate::manifest::yaml::fields::{Field, Problems};
use crate::manifest::yaml::{Kind, Positioned};

/// Reads a manifest's `seal: { recipients: [age1...] }` or `seal: none`.
pub(super) fn choice(problems: &mut Problems<'_>, field: &Field<'_>) -> Option<Positioned<SealChoice>> {
    if let Kind::Scalar(scalar) = &field.node.kind
        && scalar.text.as_str() == "none"
    {
        return Some(Positioned { value: SealChoice::Off, at: field.node.at });
    }
    let Kind::Mapping(_) = &field.node.kind else {
        problems
            .error("bad-seal", field.node.at, &field.path, "says not for whom to seal")
            .hints
            .push("write `seal: { recipients: [age1...] }`, or `seal: none`".to_owned());
        return None;
    };
    let fields = problems.fields(field, &["recipients"])?;
    let Some(list) = fields.get("recipients") else {
        problems.error("no-recipient", field.node.at, &field.path, "names no recipient").hints.push(EXAMPLE.to_owned());
        return None;
    };
    let recipients = recipients(problems, &list)?;
    Some(Positioned { value: SealChoice::For(recipients), at: field.node.at })
}

const EXAMPLE: &str = "write `recipients: [age1...]`; `age-keygen -o key.txt` makes a key and prints its recipient";

/// Reads a list of at least one recipient; `None` after a problem with any of them.
pub fn recipients(problems: &mut Problems<'_>, field: &Field<'_>) -> Option<Vec<Recipient>> {
    let before = problems.list.len();
    let items = problems.list(field);
    if items.is_empty() && problems.list.len() == before {
        problems.error("no-recipient", field.node.at, &field.path, "names no recipient").hints.push(EXAMPLE.to_owned());
    }
    let mut recipients = Vec::new();
    for item in items {
        let Some(text) = problems.secret(&item) else { continue };
        match Recipient::parse(text.value) {
            Ok(recipient) => recipients.push(recipient),
            Err(error) => {
                let problem = problems.error("bad-recipient", text.at, &item.path, error.to_string());
                problem.hints.push(error.hint().to_owned());
            }
        }
    }
    (problems.list.len() == before).then_some(recipients)
}
