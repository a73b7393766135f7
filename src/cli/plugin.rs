//! Makes `docker secretbake …` work: the metadata that the Docker CLI asks for, and Docker's own options before `secretbake`.

use std::ffi::OsString;
use std::path::Path;
use std::slice::Iter;

use super::environment::Environment;
use crate::diagnostic::command::shell_word;

/// The program's name as a Docker CLI plugin.
const PLUGIN: &str = "docker-secretbake";
/// How the user calls the plugin.
const AS_PLUGIN: &str = "docker secretbake";
/// The command that the Docker CLI asks for the metadata with.
const METADATA: &str = "docker-cli-plugin-metadata";
/// The Docker CLI's own options: the long name, the letter, and whether it takes a value; those that take none are switches.
const OPTIONS: [(&str, Option<char>, bool); 12] = [
    ("config", None, true),
    ("context", Some('c'), true),
    ("debug", Some('D'), false),
    ("help", Some('h'), false),
    ("host", Some('H'), true),
    ("log-level", Some('l'), true),
    ("tls", None, false),
    ("tlscacert", None, true),
    ("tlscert", None, true),
    ("tlskey", None, true),
    ("tlsverify", None, false),
    ("version", Some('v'), false),
];

/// An option by its long name, and its value; that of a switch is `true`, if none is given.
type Given = (&'static str, String);

/// How the program was called.
pub(super) struct Invocation {
    /// The arguments as secretbake reads them.
    pub arguments: Vec<OsString>,
    /// The Docker CLI's options that stood in front.
    docker: Vec<Given>,
}

impl Invocation {
    /// Reads the arguments, the program's name first.
    pub(super) fn of(arguments: impl IntoIterator<Item = OsString>) -> Self {
        let mut arguments: Vec<OsString> = arguments.into_iter().collect();
        let is_plugin = arguments.first().is_some_and(|name| Path::new(name).file_name() == Some(PLUGIN.as_ref()));
        let mut docker = Vec::new();
        if is_plugin {
            // `docker OPTION… secretbake ARGUMENT…` reaches a plugin whole
            if let Some((options, count)) = options_of(&arguments[1..]) {
                docker = options;
                arguments.drain(1..=count);
            }
            // the name that usage texts show
            arguments[0] = AS_PLUGIN.into();
        }
        Invocation { arguments, docker }
    }

    /// Returns how the program was called, as words of a shell: by its name, its path or as a plugin.
    pub(super) fn program(&self) -> String {
        match self.arguments.first().and_then(|name| name.to_str()) {
            Some(AS_PLUGIN) => AS_PLUGIN.to_owned(),
            name => shell_word(name.unwrap_or("secretbake")),
        }
    }

    /// Returns the metadata, if that is what is asked for.
    pub(super) fn metadata(&self) -> Option<String> {
        (self.arguments.len() == 2 && self.arguments[1] == METADATA).then(|| {
            super::json(&serde_json::json!({
                "SchemaVersion": "0.1.0",
                "Vendor": "secretbake",
                "Version": env!("CARGO_PKG_VERSION"),
                "ShortDescription": "Bake secrets into a new layer of an image",
            }))
        })
    }

    /// Applies the Docker CLI's options as it does itself: over the environment; a host over a context.
    pub(super) fn apply(&self, environment: &mut Environment) {
        for (option, value) in &self.docker {
            let value = Some(value.clone());
            match *option {
                "host" => environment.docker_host = value,
                "context" => {
                    environment.docker_context = value;
                    environment.docker_host = None;
                }
                "config" => environment.docker_config = value.map(Into::into),
                "tls" => environment.docker_tls = value.filter(|value| is_true(value)),
                // either way TLS is what is spoken
                "tlsverify" if value.as_deref().is_some_and(is_true) => environment.docker_tls_verify = value,
                "tlsverify" => (environment.docker_tls, environment.docker_tls_verify) = (value, None),
                "tlscacert" => environment.docker_tls_files.ca = value.map(Into::into),
                "tlscert" => environment.docker_tls_files.cert = value.map(Into::into),
                "tlskey" => environment.docker_tls_files.key = value.map(Into::into),
                _ => {}
            }
        }
    }
}

/// Reads the Docker CLI's options before `secretbake` by the rules of its parser (pflag). Returns them, and how many arguments they and the
/// name take; `None` if the name does not follow.
fn options_of(arguments: &[OsString]) -> Option<(Vec<Given>, usize)> {
    let mut found = Vec::new();
    let mut rest = arguments.iter();
    loop {
        let argument = rest.next()?.to_str()?;
        if argument == "secretbake" {
            return Some((found, arguments.len() - rest.len()));
        }
        match argument.strip_prefix("--") {
            Some(option) => found.push(long(option, &mut rest)?),
            None => found.extend(short(argument.strip_prefix('-')?, &mut rest)?),
        }
    }
}

/// Reads `name`, `name=value`, or `name` with its value in the next argument.
fn long(option: &str, rest: &mut Iter<'_, OsString>) -> Option<Given> {
    let (name, value) = option.split_once('=').map_or((option, None), |(name, value)| (name, Some(value)));
    let (name, _, takes_value) = OPTIONS.iter().find(|(long, ..)| *long == name)?;
    let value = match value {
        Some(value) => value,
        None if *takes_value => rest.next()?.to_str()?,
        None => "true",
    };
    Some((name, value.to_owned()))
}

/// Reads letters: switches, and at the end one that takes a value, which is what follows it, or the next argument.
fn short(mut letters: &str, rest: &mut Iter<'_, OsString>) -> Option<Vec<Given>> {
    let mut found = Vec::new();
    while let Some(letter) = letters.chars().next() {
        let (name, _, takes_value) = OPTIONS.iter().find(|(_, short, _)| *short == Some(letter))?;
        let after = &letters[letter.len_utf8()..];
        let (value, left) = match after.strip_prefix('=').filter(|value| !value.is_empty()) {
            Some(value) => (value, ""),
            None if !takes_value => ("true", after),
            None if !after.is_empty() => (after, ""),
            None => (rest.next()?.to_str()?, ""),
        };
        letters = left;
        found.push((*name, value.to_owned()));
    }
    Some(found)
}

/// Reads a switch's value as the Docker CLI does.
fn is_true(value: &str) -> bool {
    ["1", "t", "T", "TRUE", "true", "True"].contains(&value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> (String, Vec<(&'static str, String)>) {
        let invocation = Invocation::of(line.split(' ').map(OsString::from));
        let arguments: Vec<&str> = invocation.arguments.iter().map(|argument| argument.to_str().unwrap()).collect();
        (arguments.join(" "), invocation.docker)
    }

    /// Returns the options that a line of the Docker CLI has in front of `secretbake bake a`.
    fn options(line: &str) -> Vec<(&'static str, String)> {
        let (rest, docker) = of(&format!("docker-secretbake {line} secretbake bake a"));
        assert_eq!(rest, "docker secretbake bake a", "{line}");
        docker
    }

    #[test]
    fn the_plugins_own_name_and_dockers_options_are_taken_off() {
        assert_eq!(of("/x/docker-secretbake secretbake check a").0, "docker secretbake check a");
        assert_eq!(of("docker-secretbake check secretbake.yaml").0, "docker secretbake check secretbake.yaml");
        assert_eq!(of("docker-secretbake check secretbake").0, "docker secretbake check secretbake");
        assert_eq!(of("docker-secretbake --org secretbake check").0, "docker secretbake --org secretbake check");
        let all = options("-c remote --log-level debug -D --config=/c");
        let expected = [("context", "remote"), ("log-level", "debug"), ("debug", "true"), ("config", "/c")];
        assert_eq!(all, expected.map(|(name, value)| (name, value.to_owned())));
    }

    #[test]
    fn an_option_has_its_value_wherever_the_docker_cli_finds_it() {
        for (line, name, value) in [
            ("-Hunix:///x", "host", "unix:///x"),
            ("-H unix:///x", "host", "unix:///x"),
            ("-H=unix:///x", "host", "unix:///x"),
            ("--host unix:///x", "host", "unix:///x"),
            ("--host=unix:///x?a=b", "host", "unix:///x?a=b"),
            ("-cremote", "context", "remote"),
            ("-Dc remote", "context", "remote"),
            ("-DcD", "context", "D"),
            ("-D=true -Dlwarn -c=remote", "context", "remote"),
            ("--context secretbake", "context", "secretbake"),
            ("-c secretbake", "context", "secretbake"),
            ("--tlsverify", "tlsverify", "true"),
            ("--tlsverify=false", "tlsverify", "false"),
        ] {
            assert_eq!(options(line).pop(), Some((name, value.to_owned())), "{line}");
        }
    }

    #[test]
    fn tls_is_turned_on_as_the_docker_cli_does_and_verified_only_if_that_is_asked_for() {
        let with = |line: &str| {
            let mut environment = Environment::read();
            (environment.docker_tls, environment.docker_tls_verify) = (None, None);
            Invocation { arguments: Vec::new(), docker: options(line) }.apply(&mut environment);
            environment
        };
        for (line, tls, verify) in [
            ("--tlsverify", None, Some("true")),
            ("--tlsverify=1", None, Some("1")),
            ("--tlsverify=false", Some("false"), None),
            ("--tls", Some("true"), None),
            ("--tls=false", None, None),
            ("--tls --tlsverify", Some("true"), Some("true")),
        ] {
            let environment = with(line);
            let found = (environment.docker_tls.as_deref(), environment.docker_tls_verify.as_deref());
            assert_eq!(found, (tls, verify), "{line}");
        }
        let files = with("--tlscacert=/ca --tlscert /cert --tlskey=/key").docker_tls_files;
        let expected = ["/ca", "/cert", "/key"].map(|path| Some(path.into()));
        assert_eq!([files.ca, files.cert, files.key], expected);
    }

    #[test]
    fn under_its_own_name_nothing_is_taken_off() {
        assert_eq!(of("secretbake check secretbake").0, "secretbake check secretbake");
        assert_eq!(of("secretbake").0, "secretbake");
    }
}
