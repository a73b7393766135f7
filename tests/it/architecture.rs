//! Holds the rule of direction of ARCHITECTURE.md: pure modules stay pure, each library is behind its own seam, and no files import
//! each other in a circle.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What no pure module imports: the outside world, and the libraries that talk to it.
const IMPURE: [&str; 11] = [
    "tokio",
    "bollard",
    "aws_",
    "oci_client",
    "reqwest",
    "hyper",
    "std::fs",
    "std::env",
    "std::net",
    "std::process",
    "std::time::",
];

/// The pure modules; `std::env::consts` is what the compiler knows, not the environment.
const PURE: [&str; 25] = [
    "diagnostic/",
    "secret.rs",
    "manifest/",
    "org/mod.rs",
    "org/read.rs",
    "org/edit.rs",
    "org/change.rs",
    "org/command.rs",
    "org/suits.rs",
    "org/org_text.rs",
    "org/rules.rs",
    "org/regions.rs",
    "plan/",
    "secrets/select.rs",
    "secrets/select_problem.rs",
    "secrets/values.rs",
    "secrets/aws/arn.rs",
    "secrets/command/diagnose.rs",
    "secrets/aws/diagnose/",
    "image/",
    "store/oci/document.rs",
    "ops/report.rs",
    "ops/policy.rs",
    "ops/drift/mod.rs",
    "ops/import/",
];

/// A library and the only folder that imports it.
const BEHIND_A_SEAM: [(&str, &str); 14] = [
    ("age", "image/seal.rs"),
    ("bollard", "store/engine/"),
    ("reqwest", "store/registry/"),
    ("rustls", "store/"),
    ("docker_credential", "store/login.rs"),
    ("aws_", "secrets/aws/"),
    ("saphyr_parser", "manifest/yaml/"),
    ("clap", "cli/"),
    ("anstream", "cli/"),
    ("indicatif", "cli/"),
    ("nix", "runtime/platform/"),
    ("rustix", "runtime/platform/"),
    ("console::", "runtime/platform/windows/"),
    ("std::os", "runtime/platform/"),
];

/// The rooms from the lowest to the highest. A room imports only those below it.
const ROOMS: [&str; 11] =
    ["diagnostic", "secret", "runtime", "image", "manifest", "org", "plan", "secrets", "store", "ops", "cli"];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// Returns each source's name below `src` with the lines of its code that are neither comments nor tests.
fn code() -> Vec<(String, Vec<(usize, String)>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    sources(&root)
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(&root).unwrap().display().to_string();
            let text = fs::read_to_string(&path).unwrap();
            let lines = text
                .lines()
                .enumerate()
                .take_while(|(_, line)| !line.starts_with("#[cfg(test)]"))
                .filter(|(_, line)| !line.trim_start().starts_with("//"))
                .map(|(number, line)| (number + 1, line.replace("std::env::consts", "").replace("aws_lc_rs", "")))
                .collect();
            (name, lines)
        })
        .collect()
}

fn imports(line: &str, library: &str) -> bool {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(library).any(|(at, _)| {
        let before = line[..at].chars().next_back().is_none_or(|c| !word(c) && c != '"');
        let after = &line[at + library.len()..];
        before && (library.ends_with(['_', ':']) || after.starts_with("::") || after.starts_with(';'))
    })
}

#[test]
fn pure_modules_import_nothing_of_the_outside_world() {
    let mut found = Vec::new();
    for (name, lines) in code() {
        if PURE.iter().any(|pure| name.starts_with(pure)) {
            for (number, line) in lines {
                for library in IMPURE.iter().filter(|library| imports(&line, library)) {
                    found.push(format!("src/{name}:{number} imports {library}"));
                }
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn each_library_is_behind_its_seam() {
    let mut found = Vec::new();
    for (name, lines) in code() {
        // whether a CA bundle can be used only rustls can say
        if name == "secrets/aws/ca_bundle.rs" || name.ends_with("/tests.rs") {
            continue;
        }
        for (library, folder) in BEHIND_A_SEAM.iter().filter(|(_, folder)| !name.starts_with(folder)) {
            for (number, line) in lines.iter().filter(|(_, line)| imports(line, library)) {
                found.push(format!("src/{name}:{number} imports {library}, which belongs to {folder}: {line}"));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn no_room_imports_one_above_it() {
    let floor = |room: &str| ROOMS.iter().position(|known| *known == room);
    let mut found = Vec::new();
    for (name, lines) in code() {
        let room = name.split(['/', '.']).next().unwrap();
        let Some(own) = floor(room) else { continue };
        for (number, line) in lines {
            for (at, _) in line.match_indices("crate::") {
                let other =
                    line[at + "crate::".len()..].split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap();
                if floor(other).is_some_and(|other| other > own) {
                    found.push(format!("src/{name}:{number} imports {other}, which is above {room}"));
                }
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

/// Returns the paths in a `use` tree: `a::{b, c::{d, e}}` is `a::b`, `a::c::d` and `a::c::e`.
fn paths(tree: &str) -> Vec<String> {
    let Some((start, rest)) = tree.split_once('{') else { return vec![tree.trim().to_owned()] };
    let mut depth = 0;
    let parts = rest.rsplit_once('}').map_or(rest, |(parts, _)| parts).split(|c: char| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == ',' && depth == 0
    });
    parts
        .filter(|part| !part.trim().is_empty())
        .flat_map(|part| paths(&format!("{}{}", start.trim(), part.trim())))
        .collect()
}

/// Returns the files that each file imports, as paths of modules. A `mod.rs` is left out: it may list what is below it, which knows it.
fn imported_files() -> BTreeMap<String, BTreeSet<String>> {
    let files: BTreeMap<String, String> = code()
        .into_iter()
        .filter(|(name, _)| name.contains('/') && !name.ends_with("mod.rs"))
        .map(|(name, lines)| {
            let text = lines.into_iter().map(|(_, line)| line).collect::<Vec<_>>().join("\n");
            (name.trim_end_matches(".rs").replace('/', "::"), text)
        })
        .collect();
    let word = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let imported = |module: &str, text: &str| {
        let trees = text.split("use ").skip(1).filter_map(|rest| Some(paths(rest.split_once(';')?.0)));
        let inline = ["crate::", "super::"].into_iter().flat_map(|start| {
            text.match_indices(start).map(|(at, _)| text[at..].split(|c| !word(c)).next().unwrap().to_owned())
        });
        let mut imported = BTreeSet::new();
        for path in trees.flatten().chain(inline) {
            let mut from: Vec<&str> = module.split("::").collect();
            let mut parts = path.split("::").map(|part| part.split(" as ").next().unwrap()).peekable();
            match parts.peek() {
                Some(&"crate") => from.clear(),
                Some(&"super") => {}
                _ => continue,
            }
            for part in parts.filter(|part| *part != "crate") {
                if part == "super" {
                    from.pop();
                } else {
                    from.push(part);
                }
            }
            let file = (1..=from.len()).rev().map(|end| from[..end].join("::")).find(|path| files.contains_key(path));
            imported.extend(file.filter(|file| file != module));
        }
        imported
    };
    files.iter().map(|(module, text)| (module.clone(), imported(module, text))).collect()
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let mut files = imported_files();
    assert!(files["store::registry::write"].contains("store::registry::tags"), "{files:#?}");
    // a file that imports none of the others is in no circle, and neither is one that none of them imports
    while let Some(done) = files.iter().find(|(_, imported)| imported.is_empty()).map(|(file, _)| file.clone()) {
        files.remove(&done);
        files.values_mut().for_each(|imported| imported.retain(|file| *file != done));
    }
    while let Some(top) = files.keys().find(|file| files.values().all(|imported| !imported.contains(*file))).cloned() {
        files.remove(&top);
    }
    assert!(files.is_empty(), "{files:#?}");
}

#[test]
fn every_room_has_a_floor() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let rooms = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    for room in rooms.filter(|room| !["lib.rs", "main.rs"].contains(&room.as_str())) {
        assert!(ROOMS.contains(&room.trim_end_matches(".rs")), "src/{room} is not in ROOMS");
    }
}

/// What reads to an end that someone else decides.
const UNBOUNDED: [&str; 13] = [
    "fs::read(",
    ".read_to_end(",
    ".read_to_string(",
    "fs::read_to_string(",
    " io::copy(",
    "std::io::copy(",
    ".read_line(",
    ".lines().next_line(",
    ".next_line(",
    ".wait_with_output(",
    "serde_json::from_reader(",
    ".collect().await?.to_bytes(",
    ".bytes().await",
];

#[test]
fn one_file_reads_without_knowing_the_length() {
    let mut found = Vec::new();
    for (name, lines) in code() {
        for (number, line) in lines {
            let is_unbounded = UNBOUNDED.iter().any(|call| line.contains(call));
            if name != "runtime/bounded.rs" && !name.ends_with("/tests.rs") && is_unbounded {
                found.push(format!("src/{name}:{number} reads to an end that someone else decides: {line}"));
            }
        }
    }
    assert!(found.is_empty(), "use src/runtime/bounded.rs: {found:#?}");
    // clippy holds it where a name hides the call
    let settings = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("clippy.toml")).unwrap();
    for method in [
        "std::fs::read\"",
        "std::io::Read::read_to_end",
        "http_body_util::BodyExt::collect",
        "reqwest::Response::bytes",
    ] {
        assert!(settings.contains(method), "clippy.toml does not forbid {method}");
    }
}

/// The files that write to standard output or standard error.
const PRINTERS: [&str; 4] = ["cli/output.rs", "cli/log.rs", "cli/ask.rs", "store/archive/output.rs"];

/// The files that make text of bytes which may not be text, and what for: everywhere else that is the words of others, for `ForeignText`.
const LOSSY: [(&str, &str); 13] = [
    ("diagnostic/foreign.rs", "the one place that shows the words of others"),
    ("diagnostic/scrub.rs", "text of our own, after its secrets are cut out"),
    ("cli/log.rs", "a line of the log, escaped and scrubbed"),
    ("cli/usage.rs", "an argument, escaped"),
    ("cli/generate.rs", "what clap generates"),
    ("manifest/yaml/build.rs", "counted, not shown"),
    ("org/edit.rs", "written to the org file"),
    ("runtime/platform/unix/linux.rs", "parsed"),
    ("secrets/aws/", "parsed or sent"),
    ("store/engine/", "parsed"),
    ("store/layers/overlay.rs", "the target of a link, looked up"),
    ("store/layout/journal.rs", "parsed"),
    ("store/registry/token.rs", "parsed"),
];

#[test]
fn one_type_shows_the_words_of_others() {
    let mut found = Vec::new();
    for (name, lines) in code() {
        for (number, line) in lines {
            let prints = ["stdout()", "stderr()"].iter().any(|stream| line.contains(stream));
            let asks = ["is_terminal", "use_stderr", "Term::stderr"].iter().any(|call| line.contains(call));
            if prints && !asks && !PRINTERS.contains(&name.as_str()) {
                found.push(format!("src/{name}:{number} writes to a stream itself: {line}"));
            }
            let is_lossy = ["from_utf8_lossy", "to_string_lossy"].iter().any(|call| line.contains(call));
            let is_known = LOSSY.iter().any(|(file, _)| name.starts_with(file));
            if is_lossy && !is_known {
                found.push(format!("src/{name}:{number} makes text of bytes: show it as a ForeignText: {line}"));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn the_rule_can_fail() {
    assert!(imports("use tokio::fs;", "tokio"));
    assert!(imports("    let x = std::fs::read(path);", "std::fs"));
    assert!(imports("use aws_config::Region;", "aws_"));
    assert!(!imports("let draws_x = 1;", "aws_"));
    assert!(!imports("\"aws-secrets-manager\"", "aws_"));
}

#[test]
fn every_module_says_what_it_owns() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for path in sources(&root) {
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("//!"), "{} begins without `//!`", path.display());
    }
}
