//! Owns the hints that depend on the shape of the whole manifest: where a misplaced field belongs, and what to paste.

use super::yaml::fields::nearest;
use crate::diagnostic::Diagnostic;

/// Replaces a problem's hint if the manifest's shape suggests a better one.
pub(super) fn advise(problem: &mut Diagnostic) {
    let path = problem.place.as_ref().map(|place| place.path.split('.').collect::<Vec<_>>()).unwrap_or_default();
    let advice = match problem.code {
        "unknown-field" => for_unknown_field(&path),
        "wrong-type" => for_wrong_type(&path),
        _ => None,
    };
    if let Some(advice) = advice {
        problem.hints = vec![advice];
    }
}

/// Returns the section with variables or files that a field is, or that a wrong name probably means.
pub(super) fn section_meant(field: &str) -> Option<&'static str> {
    match field {
        "environment" | "variables" | "vars" | "envs" | "secrets" | "secret" => Some("env"),
        "env_file" | "envfrom" | "env-from" => Some("env_from"),
        other => nearest(other, &["env", "env_from", "files"]),
    }
}

fn for_unknown_field(path: &[&str]) -> Option<String> {
    let advice = match path {
        [field @ ("base" | "tags" | "inject" | "format" | "path" | "mode" | "owner" | "seal")] => {
            format!("`{field}` belongs under `image:`")
        }
        ["tag"] => "write `tags: [NAME:TAG]` under `image:`".to_owned(),
        ["secrets" | "secret"] => "write each secret under `env:`: `NAME: { secret: secret-name }`".to_owned(),
        [field] => format!("did you mean `{}`?", section_meant(field)?),
        ["image", field @ ("env" | "files" | "version")] => {
            format!("`{field}` belongs at the top level, not under `image:`")
        }
        ["image", "name" | "image" | "from"] => "did you mean `base`?".to_owned(),
        ["env", name, "value" | "default"] => format!("write a plain value after the name: `{name}: value`"),
        ["env" | "files", _, "key" | "json_key" | "field" | "property"] => {
            "write the key after a `#`: `secret: secret-name#json_key`".to_owned()
        }
        ["env" | "files", _, "name" | "arn" | "secret_name" | "secret_id" | "secretKeyRef" | "valueFrom"] => {
            "did you mean `secret`?".to_owned()
        }
        ["env" | "files", _, "region"] => "name a credential of that region: `credential: NAME`".to_owned(),
        ["env" | "files", _, "stage"] => "write `version_stage` or `version_id`".to_owned(),
        _ => return None,
    };
    Some(advice)
}

fn for_wrong_type(path: &[&str]) -> Option<String> {
    let advice = match path {
        ["image"] => "write `image: { base: NAME:TAG }`".to_owned(),
        ["env", name] => format!("write `{name}: value` or `{name}: {{ secret: secret-name }}`"),
        ["image", "base"] => "write `base: NAME:TAG`".to_owned(),
        ["image", tags] if tags.starts_with("tags") => "write `tags: [NAME:TAG]`".to_owned(),
        ["image", "inject"] => "write `inject: launcher`, `inject: config` or `inject: file`".to_owned(),
        [.., "secret"] => "write `secret: secret-name` or `secret: secret-name#json_key`".to_owned(),
        [.., "credential"] => "write `credential: NAME`, with the name of a credential of the org file".to_owned(),
        [.., "mode"] => "write `mode: \"0440\"`".to_owned(),
        [.., "owner"] => "write `owner: \"1000:1000\"`".to_owned(),
        [.., "template"] => "write `template: \"text with {{name}}\"`".to_owned(),
        ["env" | "files", _, "with"] => "write `with: { name: { secret: secret-name } }`".to_owned(),
        ["env"] => "write `env: { NAME: value }`".to_owned(),
        ["env_from"] => "write `env_from: [{ secret: secret-name }]`".to_owned(),
        [entry] if entry.starts_with("env_from[") => "write `- secret: secret-name`".to_owned(),
        ["files"] => "write `files: { /app/key: { secret: secret-name } }`".to_owned(),
        ["env" | "files", _, "with", name] => {
            format!("write `{name}: {{ secret: secret-name }}`; plain text belongs into the template itself")
        }
        _ => return None,
    };
    Some(advice)
}
