//! Reads the variables in a value of a Compose or dotenv file: `$NAME`, `${NAME}`, `${NAME:-default}`.

use super::{Draft, Entry};
use crate::manifest::is_variable_name;

/// Why a variable is left to fill in.
pub(super) const OTHER_VARIABLES: &str = "its value contains other variables";

/// Puts a variable into the draft. The value is as the file has it; without one it comes from the environment.
pub(super) fn put(draft: &mut Draft, entry: Entry<'_>, value: Option<&str>) {
    match value {
        None => draft.left_out(entry, "its value comes from the environment"),
        Some(value) => match with_defaults(value) {
            None if is_one_variable(value) => draft.left_out(entry, "its value comes from the environment"),
            None => draft.left_out(entry, OTHER_VARIABLES),
            Some(default) if value.replace("$$", "").contains('$') && draft.plain(entry, &default) => {
                draft.note(entry, "the default in the file is taken as its value", "check that it is the one to bake");
            }
            Some(value) => {
                draft.plain(entry, &value);
            }
        },
    }
}

/// Returns a value with `$$` as `$`, and each `${NAME:-default}` as its default; `None` if it contains a variable without one.
pub(super) fn with_defaults(value: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = value;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            out.push('$');
            rest = after;
            continue;
        }
        let (inner, after) = after.strip_prefix('{')?.split_once('}')?;
        let (name, default) = inner.split_once('-')?;
        if !is_variable_name(name.strip_suffix(':').unwrap_or(name)) || default.contains(['$', '{']) {
            return None;
        }
        out.push_str(default);
        rest = after;
    }
    out.push_str(rest);
    Some(out)
}

/// Tells whether a value is only `$NAME`, `${NAME}` or `${NAME:?message}`.
fn is_one_variable(value: &str) -> bool {
    let Some(rest) = value.strip_prefix('$') else { return false };
    let Some(inner) = rest.strip_prefix('{').and_then(|inner| inner.strip_suffix('}')) else {
        return is_variable_name(rest);
    };
    let name = inner.split_once('?').map_or(inner, |(name, _)| name.strip_suffix(':').unwrap_or(name));
    is_variable_name(name)
}
