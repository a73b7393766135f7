//! Owns the formats of the env file. A format refuses a value that not every reader would read as it is.

use crate::diagnostic::Diagnostic;
use crate::secret::{SecretBuffer, SecretBytes};

/// The format of the env file with `inject: file`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// NUL-terminated `KEY=VALUE`.
    #[default]
    Env0,
    Dotenv,
    Json,
    Shell,
    Systemd,
}

impl Format {
    /// Every format with its name.
    pub const NAMES: [(&'static str, Format); 5] = [
        ("env0", Format::Env0),
        ("dotenv", Format::Dotenv),
        ("json", Format::Json),
        ("shell", Format::Shell),
        ("systemd", Format::Systemd),
    ];

    /// Returns the format's name.
    pub fn name(self) -> &'static str {
        Format::NAMES.iter().find(|(_, format)| *format == self).map_or("", |(name, _)| name)
    }
}

/// Why a format cannot carry a value.
pub type Refusal = &'static str;

/// Returns why a format cannot carry a value; `None` if it can.
pub fn refusal(format: Format, name: &str, value: &SecretBytes) -> Option<Refusal> {
    write(format, &[(name, value)]).err()?.pop().map(|(_, why)| why)
}

/// Makes the diagnosis of a [`Refusal`].
pub fn refused(why: Refusal) -> Diagnostic {
    Diagnostic::error("cannot-carry", format!("the format cannot carry the value: {why}"))
        .hint("choose another `format:` (env0, shell and json carry every text), or `inject: launcher`")
}

/// Writes the variables in their order, or returns each one that the format cannot carry, and why.
pub fn write(format: Format, variables: &[(&str, &SecretBytes)]) -> Result<SecretBytes, Vec<(String, Refusal)>> {
    let mut out = SecretBuffer::default();
    let mut refused = Vec::new();
    if format == Format::Json {
        out.push(b"{");
    }
    for (index, (name, value)) in variables.iter().enumerate() {
        let value = value.expose();
        let written = match format {
            Format::Env0 => env0(&mut out, name, value),
            Format::Dotenv => dotenv(&mut out, name, value),
            Format::Json => json(&mut out, index, name, value),
            Format::Shell => shell(&mut out, name, value),
            Format::Systemd => systemd(&mut out, name, value),
        };
        if let Err(why) = written {
            refused.push(((*name).to_owned(), why));
        }
    }
    if format == Format::Json {
        out.push(b"\n}\n");
    }
    if refused.is_empty() { Ok(out.finish()) } else { Err(refused) }
}

fn env0(out: &mut SecretBuffer, name: &str, value: &[u8]) -> Result<(), Refusal> {
    out.push(name.as_bytes());
    out.push(b"=");
    out.push(value);
    out.push(b"\0");
    Ok(())
}

/// The quoting on which the dotenv libraries of Node, Python, Ruby, Go and Docker Compose agree.
fn dotenv(out: &mut SecretBuffer, name: &str, value: &[u8]) -> Result<(), Refusal> {
    let has = |byte: u8| value.contains(&byte);
    let quote: &[u8] = if !has(b'\'') {
        let doubled = value.windows(2).any(|pair| pair == br"\\");
        if doubled || value.ends_with(b"\\") {
            return Err("dotenv readers disagree about its backslashes");
        }
        b"'"
    } else if [b'"', b'\\', b'$', b'`', b'\n'].into_iter().any(has) {
        return Err("dotenv readers disagree about a single quote together with its other characters");
    } else {
        b"\""
    };
    if has(b'\r') {
        return Err("dotenv readers disagree about a carriage return");
    }
    std::str::from_utf8(value).map_err(|_| "it is not UTF-8 text")?;
    for part in [name.as_bytes(), b"=", quote, value, quote, b"\n"] {
        out.push(part);
    }
    Ok(())
}

fn json(out: &mut SecretBuffer, index: usize, name: &str, value: &[u8]) -> Result<(), Refusal> {
    let value = std::str::from_utf8(value).map_err(|_| "it is not UTF-8 text")?;
    out.push(if index == 0 { b"\n  " } else { b",\n  " });
    out.push(format!("\"{name}\": ").as_bytes());
    serde_json::to_writer(&mut *out, value).map_err(|_| "it cannot be written as JSON")
}

/// For `. FILE` in any POSIX shell.
fn shell(out: &mut SecretBuffer, name: &str, value: &[u8]) -> Result<(), Refusal> {
    out.push(format!("export {name}='").as_bytes());
    for (index, part) in value.split(|byte| *byte == b'\'').enumerate() {
        if index > 0 {
            out.push(br"'\''");
        }
        out.push(part);
    }
    out.push(b"'\n");
    Ok(())
}

/// For systemd's `EnvironmentFile=`.
fn systemd(out: &mut SecretBuffer, name: &str, value: &[u8]) -> Result<(), Refusal> {
    let text = std::str::from_utf8(value).map_err(|_| "it is not UTF-8 text")?;
    if text.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
        return Err("systemd drops a variable with control characters");
    }
    out.push(format!("{name}=\"").as_bytes());
    for byte in value {
        if br#""\`$"#.contains(byte) {
            out.push(b"\\");
        }
        out.push(&[*byte]);
    }
    out.push(b"\"\n");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(format: Format, value: &str) -> Result<String, Refusal> {
        let value = SecretBytes::from(value.to_owned());
        match write(format, &[("K", &value)]) {
            Ok(file) => Ok(String::from_utf8(file.expose().to_vec()).unwrap()),
            Err(refused) => Err(refused[0].1),
        }
    }

    #[test]
    fn each_format_quotes_in_its_own_way() {
        let value = "it's $HOME\n\"x\"";
        assert_eq!(written(Format::Env0, value).unwrap(), "K=it's $HOME\n\"x\"\0");
        assert_eq!(written(Format::Shell, value).unwrap(), "export K='it'\\''s $HOME\n\"x\"'\n");
        assert_eq!(written(Format::Systemd, value).unwrap(), "K=\"it's \\$HOME\n\\\"x\\\"\"\n");
        assert_eq!(written(Format::Json, value).unwrap(), "{\n  \"K\": \"it's $HOME\\n\\\"x\\\"\"\n}\n");
        assert_eq!(written(Format::Dotenv, "a\nb \"c\" $d").unwrap(), "K='a\nb \"c\" $d'\n");
        assert_eq!(written(Format::Dotenv, "it's").unwrap(), "K=\"it's\"\n");
    }

    #[test]
    fn a_value_that_a_format_cannot_carry_is_refused() {
        assert!(written(Format::Dotenv, "it's $HOME").is_err());
        assert!(written(Format::Dotenv, "a\\\\b").is_err());
        assert!(written(Format::Dotenv, "a\r\nb").is_err());
        assert!(written(Format::Systemd, "a\u{1}").is_err());
    }

    #[test]
    fn no_variables_are_an_empty_file() {
        assert_eq!(write(Format::Json, &[]).map(|file| file.len()).ok(), Some(4));
        assert_eq!(write(Format::Env0, &[]).map(|file| file.len()).ok(), Some(0));
    }
}
