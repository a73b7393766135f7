//! Owns what makes `docker secretbake …` work: the metadata that the Docker CLI asks for, and its own options in front.

use std::ffi::OsString;
use std::path::Path;

use super::environment::Environment;

/// The program's name as a Docker CLI plugin.
const PLUGIN: &str = "docker-secretbake";
/// The command that the Docker CLI asks for the metadata with.
const METADATA: &str = "docker-cli-plugin-metadata";
/// The Docker CLI's options that take a value, with what they are called here; `""`: not of our concern.
const WITH_VALUE: [(&str, &str); 11] = [
    ("--host", "host"),
    ("-H", "host"),
    ("--context", "context"),
    ("-c", "context"),
    ("--config", "config"),
    ("--log-level", ""),
    ("-l", ""),
    ("--tlscacert", ""),
    ("--tlscert", ""),
    ("--tlskey", ""),
    ("--tlsverify", "tlsverify"),
];

/// How the program was called.
pub(super) struct Invocation {
    /// The arguments as secretbake reads them.
    pub arguments: Vec<OsString>,
    /// The Docker CLI's options that stood in front, each with its value.
    docker: Vec<(&'static str, String)>,
}

impl Invocation {
    /// Reads the arguments, the program's name first.
    pub(super) fn of(arguments: impl IntoIterator<Item = OsString>) -> Self {
        let mut arguments: Vec<OsString> = arguments.into_iter().collect();
        let is_plugin = arguments.first().is_some_and(|name| Path::new(name).file_name() == Some(PLUGIN.as_ref()));
        let mut docker = Vec::new();
        if is_plugin {
            // `docker OPTION… secretbake ARGUMENT…` reaches a plugin whole
            let position = arguments.iter().skip(1).position(|argument| argument == "secretbake");
            if let Some(options) = position {
                docker = options_of(&arguments[1..=options]);
                arguments.drain(1..=options + 1);
            }
            // the name that usage texts show
            arguments[0] = "docker secretbake".into();
        }
        Invocation { arguments, docker }
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
                "tlsverify" => environment.docker_tls_verify = value,
                _ => {}
            }
        }
    }
}

fn options_of(arguments: &[OsString]) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    let mut arguments = arguments.iter().filter_map(|argument| argument.to_str());
    while let Some(argument) = arguments.next() {
        let (name, value) = argument.split_once('=').map_or((argument, None), |(name, value)| (name, Some(value)));
        let Some((_, option)) = WITH_VALUE.iter().find(|(other, _)| *other == name) else { continue };
        // `--tlsverify` is a switch
        let value = if *option == "tlsverify" { value.or(Some("1")) } else { value.or_else(|| arguments.next()) };
        if let (Some(value), false) = (value, option.is_empty()) {
            found.push((*option, value.to_owned()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> (String, Vec<(&'static str, String)>) {
        let invocation = Invocation::of(line.split(' ').map(OsString::from));
        let arguments: Vec<&str> = invocation.arguments.iter().map(|argument| argument.to_str().unwrap()).collect();
        (arguments.join(" "), invocation.docker)
    }

    #[test]
    fn the_plugins_own_name_and_dockers_options_are_taken_off() {
        assert_eq!(of("/x/docker-secretbake secretbake check a").0, "docker secretbake check a");
        assert_eq!(of("docker-secretbake check secretbake.yaml").0, "docker secretbake check secretbake.yaml");
        let (line, docker) = of("docker-secretbake -c remote --log-level debug -D --config=/c secretbake bake a");
        assert_eq!(line, "docker secretbake bake a");
        assert_eq!(docker, [("context", "remote".to_owned()), ("config", "/c".to_owned())]);
    }

    #[test]
    fn under_its_own_name_nothing_is_taken_off() {
        assert_eq!(of("secretbake check secretbake").0, "secretbake check secretbake");
        assert_eq!(of("secretbake").0, "secretbake");
    }
}
