//! Owns the choice between the two sources of a secret value: one secret, or a template of several.

use super::SecretSource;
use super::secret_use::{SECRET, secret_use};
use super::template::{TEMPLATE, template};
use super::yaml::fields::{Field, Fields, Problems};

/// Reads the source of a secret value: one secret, or a template. `more` are the entry's other fields, `of_one` those that a template does
/// not have.
pub(super) fn source<'n>(
    problems: &mut Problems<'_>,
    field: &Field<'n>,
    of_one: &[&'static str],
    more: &[&'static str],
) -> Option<(Fields<'n>, Option<SecretSource>)> {
    let is_template = problems.mapping(field)?.iter().any(|(key, _)| TEMPLATE.contains(&&*key.text));
    let known: Vec<&str> = match is_template {
        true => TEMPLATE.iter().chain(&["secret"]).chain(more).copied().collect(),
        false => SECRET.iter().chain(of_one).chain(more).copied().collect(),
    };
    let fields = problems.fields(field, &known)?;
    let source = match is_template {
        true => template(problems, &fields).map(SecretSource::Template),
        false => secret_use(problems, &fields).map(SecretSource::One),
    };
    Some((fields, source))
}
