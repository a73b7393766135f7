//! Owns the formats in which pull requests show what `check` finds: GitHub's workflow commands, GitLab's Code
//! Quality report, and SARIF 2.1.0.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::diagnostic::escape::escaped;
use crate::diagnostic::{Diagnostic, Severity};
use crate::image::digest::Digest;

/// Returns GitHub workflow commands, one line for each diagnostic.
pub(super) fn github(diagnostics: &[Diagnostic]) -> String {
    let mut out = String::new();
    for diagnostic in diagnostics {
        let mut properties = Vec::new();
        if let Some(place) = &diagnostic.place {
            properties.push(format!("file={}", property(&place.file)));
            properties.push(format!("line={}", place.line));
            properties.push(format!("col={}", place.column));
        }
        properties.push(format!("title={}", property(diagnostic.code)));
        // writing to a string cannot fail
        let _ = writeln!(out, "::{} {}::{}", level(diagnostic), properties.join(","), data(&message(diagnostic)));
    }
    out
}

/// Returns GitLab's Code Quality report. A diagnostic without a place is shown at the first line of the repository's root.
pub(super) fn gitlab(diagnostics: &[Diagnostic]) -> String {
    let mut seen = BTreeMap::new();
    let issues: Vec<Value> = diagnostics
        .iter()
        .map(|diagnostic| {
            let place = diagnostic.place.as_ref();
            let (file, line) = place.map_or((".", 1), |place| (place.file.as_str(), place.line));
            let what = message(diagnostic);
            // without the line: a problem that moves is not a new one
            let mut fingerprint = format!("{}\0{file}\0{what}", diagnostic.code);
            let before: &mut usize = seen.entry(fingerprint.clone()).or_default();
            fingerprint.push_str(&format!("\0{before}"));
            *before += 1;
            json!({
                "description": what,
                "check_name": diagnostic.code,
                "fingerprint": Digest::of(fingerprint.as_bytes()).hex(),
                "severity": match diagnostic.severity {
                    Severity::Error => "major",
                    Severity::Warning => "minor",
                },
                "location": { "path": file, "lines": { "begin": line } },
            })
        })
        .collect();
    super::json(&issues)
}

/// Returns a SARIF log with one run; the rules are the diagnostics' codes.
pub(super) fn sarif(diagnostics: &[Diagnostic]) -> String {
    let codes: BTreeSet<&str> = diagnostics.iter().map(|diagnostic| diagnostic.code).collect();
    let rules: Vec<Value> = codes.iter().map(|code| json!({ "id": code })).collect();
    let results: Vec<Value> = diagnostics
        .iter()
        .map(|diagnostic| {
            let mut result = json!({
                "ruleId": diagnostic.code,
                "ruleIndex": codes.iter().position(|code| *code == diagnostic.code),
                "level": level(diagnostic),
                "message": { "text": message(diagnostic) },
            });
            if let Some(place) = &diagnostic.place {
                let mut location = json!({
                    "physicalLocation": {
                        "artifactLocation": { "uri": uri(&place.file) },
                        "region": { "startLine": place.line, "startColumn": place.column },
                    },
                });
                if !place.path.is_empty() {
                    location["logicalLocations"] = json!([{ "fullyQualifiedName": place.path }]);
                }
                result["locations"] = json!([location]);
            }
            result
        })
        .collect();
    super::json(&json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": { "name": "secretbake", "version": env!("CARGO_PKG_VERSION"), "rules": rules } },
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    }))
}

fn level(diagnostic: &Diagnostic) -> &'static str {
    match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

/// Returns the key path, what is wrong, why, and what to do.
fn message(diagnostic: &Diagnostic) -> String {
    let path = diagnostic.place.as_ref().map(|place| place.path.as_str()).filter(|path| !path.is_empty());
    let mut text = path.map(|path| format!("{path}: ")).unwrap_or_default() + &diagnostic.what;
    for (what, lines) in [("cause", &diagnostic.causes), ("hint", &diagnostic.hints)] {
        for line in lines {
            let _ = write!(text, "\n{what}: {line}");
        }
    }
    text
}

/// Escapes a command's message as GitHub's runner reads it; whatever else a terminal acts on is escaped as in other forms.
fn data(text: &str) -> String {
    let lines = text.split('\n').map(|line| escaped(&line.replace('%', "%25").replace('\r', "%0D")));
    lines.collect::<Vec<_>>().join("%0A")
}

/// Escapes a command's property, which ends at a colon or a comma.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

/// Returns a path as a URI reference.
fn uri(path: &str) -> String {
    let mut out = String::new();
    if path.starts_with('/') {
        out.push_str("file://");
    }
    for byte in path.trim_start_matches("./").bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => out.push(char::from(byte)),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Place;

    fn odd() -> Diagnostic {
        let place = Place { file: "a,b: 100%.yaml".into(), line: 3, column: 5, path: "env.A".into() };
        Diagnostic::error("bad-name", "50% of\nit").at(place).hint("a, b: c")
    }

    #[test]
    fn a_workflow_command_cannot_be_broken_out_of() {
        assert_eq!(
            github(&[odd(), Diagnostic::warning("w", "x")]),
            "::error file=a%2Cb%3A 100%25.yaml,line=3,col=5,title=bad-name::env.A: 50%25 of%0Ait%0Ahint: a, b: c\n\
             ::warning title=w::x\n"
        );
    }

    #[test]
    fn a_path_becomes_a_uri() {
        assert_eq!(uri("./deploy/a b%.yaml"), "deploy/a%20b%25.yaml");
        assert_eq!(uri("/etc/é"), "file:///etc/%C3%A9");
    }

    #[test]
    fn a_rule_is_a_code_and_each_result_has_its_own() {
        let log: Value = serde_json::from_str(&sarif(&[odd(), Diagnostic::warning("a-code", "x"), odd()])).unwrap();
        let run = &log["runs"][0];
        let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
        assert_eq!(rules.len(), 2);
        for result in run["results"].as_array().unwrap() {
            let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
            assert_eq!(rules[index]["id"], result["ruleId"]);
        }
        assert!(run["results"][1].get("locations").is_none());
    }
}
