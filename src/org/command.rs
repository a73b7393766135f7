//! Owns the fields of `provider: command`: the client program of another secret manager, its arguments and its environment.
//!
//! It is pure.

use super::CommandSettings;
use crate::diagnostic::lookalike::looks_like;
use crate::manifest::is_variable_name;
use crate::manifest::yaml::fields::{Fields, Problems};
use crate::manifest::yaml::{Kind, join};

/// The fields of this provider.
pub(super) const FIELDS: [&str; 3] = ["command", "environment", "trim_newline"];

/// The placeholder for the secret's name in an argument.
pub const NAME: &str = "{name}";

/// The example command in hints.
const EXAMPLE: &str = r#"command: ["op", "read", "--no-newline", "op://prod/{name}"]"#;

/// Returns a command line to paste into a shell, quoted where needed.
pub fn command_line(words: &[String]) -> String {
    let quoted = |word: &String| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-+=:,./@%{}".contains(c);
        match word.chars().all(plain) && !word.is_empty() {
            true => word.clone(),
            false => format!("'{}'", word.replace('\'', r"'\''")),
        }
    };
    words.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

/// Reads the fields; `None` if a problem makes them unusable.
pub(super) fn read(problems: &mut Problems<'_>, fields: &Fields<'_>) -> Option<CommandSettings> {
    let before = problems.list.len();
    let command = command(problems, fields);
    let environment = environment(problems, fields);
    let trim_newline = fields.get("trim_newline").and_then(|field| problems.boolean(&field)).unwrap_or(false);
    (problems.list.len() == before).then_some(CommandSettings { command, environment, trim_newline })
}

fn command(problems: &mut Problems<'_>, fields: &Fields<'_>) -> Vec<String> {
    let path = join(&fields.path, "command");
    let Some(field) = fields.get("command") else {
        let hint = format!("write the command that prints a secret, as in {EXAMPLE}");
        problems.error("missing-field", fields.at, &path, "missing").hints.push(hint);
        return Vec::new();
    };
    if !matches!(field.node.kind, Kind::Sequence(_)) {
        problems.wrong_type(&field, "a list", format!("write a list: `{EXAMPLE}`"));
        return Vec::new();
    }
    let before = problems.list.len();
    let mut words = Vec::new();
    for (index, field) in problems.list(&field).iter().enumerate() {
        let word = if index == 0 { problems.text(field) } else { problems.string(field) };
        let Some(word) = word else { continue };
        if let Some(kind) = looks_like(word.value) {
            let problem = problems.error("key-in-command", word.at, &field.path, format!("looks like {kind}"));
            problem.causes.push("every user of the machine can see the arguments of a running program".to_owned());
            let hint = "set it in an environment variable, and list the variable in `environment:`";
            problem.hints.push(hint.to_owned());
            continue;
        }
        words.push(word.value.to_owned());
    }
    if problems.list.len() > before {
        return words;
    }
    match &words[..] {
        [] => {
            let hint = format!("write the program and its arguments, as in {EXAMPLE}");
            problems.error("no-command", field.node.at, &path, "no program").hints.push(hint);
        }
        [program, ..] if program.contains(NAME) => {
            let hint = format!("name the program here, and put {NAME} in an argument, as in {EXAMPLE}");
            let what = format!("{NAME} in the program: a manifest would choose what runs");
            problems.error("name-as-program", field.node.at, &format!("{path}[0]"), what).hints.push(hint);
        }
        [_, arguments @ ..] if !arguments.iter().any(|argument| argument.contains(NAME)) => {
            let hint = format!("put {NAME} where the client takes the secret's name, as in {EXAMPLE}");
            let what = format!("no argument has {NAME}: every secret would be the same");
            problems.error("no-name", field.node.at, &path, what).hints.push(hint);
        }
        _ => {}
    }
    words
}

fn environment(problems: &mut Problems<'_>, fields: &Fields<'_>) -> Vec<String> {
    let listed = fields.get("environment").map(|field| problems.list(&field)).unwrap_or_default();
    let mut names = Vec::new();
    for field in &listed {
        let Some(name) = problems.secret(field) else { continue };
        if !is_variable_name(name.value) || looks_like(name.value).is_some() {
            problems
                .error("bad-variable-name", name.at, &field.path, "not a variable name")
                .hints
                .push("name the variable, without its value: letters, digits and `_`".to_owned());
            continue;
        }
        names.push(name.value.to_owned());
    }
    names
}

#[cfg(test)]
mod tests {
    use super::command_line;

    #[test]
    fn a_command_line_can_be_pasted_into_a_shell() {
        let words = ["op", "read", "op://prod/{name}", "--team=a b", "it's", ""].map(str::to_owned);
        assert_eq!(command_line(&words), r"op read op://prod/{name} '--team=a b' 'it'\''s' ''");
    }
}
