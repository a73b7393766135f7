//! Owns choosing the engine by Docker's rules: DOCKER_HOST, a context, or the default socket.
//!
//! It must not read the environment: the values come in [`EndpointSettings`]. It reads only the files that they name.

use std::ffi::OsString;
use std::path::PathBuf;

use super::context;
use super::endpoint::{Endpoint, TlsFiles};
use crate::runtime::platform::DEFAULT_ENGINE;
use crate::store::StoreError;

/// The values that choose the engine, with the names of their environment variables and options.
#[derive(Debug, Clone, Default)]
pub struct EndpointSettings {
    /// `DOCKER_HOST`: overrides any context.
    pub host: Option<String>,
    /// `DOCKER_CONTEXT`: overrides the current context in Docker's config.
    pub context: Option<String>,
    /// `DOCKER_TLS`, `--tls`: any non-empty value turns on TLS, which must still be verified.
    pub tls: Option<String>,
    /// `DOCKER_TLS_VERIFY`: any non-empty value turns on verified TLS.
    pub tls_verify: Option<String>,
    /// `--tlscacert`, `--tlscert` and `--tlskey`: override the files in `cert_path`.
    pub tls_files: TlsFiles,
    /// `DOCKER_CERT_PATH`: the directory of ca.pem, cert.pem and key.pem. Default: Docker's config directory.
    pub cert_path: Option<PathBuf>,
    /// `DOCKER_CONFIG`: Docker's config directory. Default: `HOME/.docker`.
    pub config_dir: Option<PathBuf>,
    /// `HOME`.
    pub home: Option<PathBuf>,
    /// Environment variables that are removed for programs that make the connection, such as ssh.
    pub withheld: Vec<OsString>,
}

impl EndpointSettings {
    /// Returns Docker's config directory.
    pub fn docker_config(&self) -> Option<PathBuf> {
        self.config_dir.clone().or_else(|| self.home.as_ref().map(|home| home.join(".docker")))
    }

    /// Returns the TLS files: each one from its option, or else from the directory.
    fn files(&self) -> TlsFiles {
        let dir = self.cert_path.clone().or_else(|| self.docker_config());
        let inside = dir.as_deref().map(TlsFiles::inside).unwrap_or_default();
        let named = self.tls_files.clone();
        TlsFiles { ca: named.ca.or(inside.ca), cert: named.cert.or(inside.cert), key: named.key.or(inside.key) }
    }
}

impl Endpoint {
    /// Chooses the engine by Docker's rules: the host, the named context, the current context, or the default socket.
    pub fn resolve(settings: &EndpointSettings) -> Result<Self, StoreError> {
        let mut endpoint = Endpoint::find(settings)?;
        if let Endpoint::Ssh(ssh) = &mut endpoint {
            ssh.withheld.clone_from(&settings.withheld);
        }
        Ok(endpoint)
    }

    fn find(settings: &EndpointSettings) -> Result<Self, StoreError> {
        let set = |value: &Option<String>| value.clone().filter(|value| !value.is_empty());
        if let Some(host) = set(&settings.host) {
            let verified = set(&settings.tls_verify).is_some();
            let tls = (verified || set(&settings.tls).is_some()).then(|| settings.files());
            return match Endpoint::parse(&host, tls)? {
                Endpoint::Tls { .. } if !verified => {
                    let what = "TLS alone does not verify the engine's certificate";
                    Err(context::unverified(what, "set DOCKER_TLS_VERIFY=1, or --tlsverify, with its ca.pem"))
                }
                endpoint => Ok(endpoint),
            };
        }
        let config = settings.docker_config();
        let named = match set(&settings.context) {
            Some(name) => Some(name),
            None => config.as_deref().map(context::current_context).transpose()?.flatten(),
        };
        match (named, config) {
            (Some(name), Some(config)) if name != "default" => context::endpoint(&config, &name),
            (Some(name), None) if name != "default" => Err(context::not_found(&name)),
            _ => Endpoint::parse(DEFAULT_ENGINE, None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_settings_it_is_the_default_socket() {
        let endpoint = Endpoint::resolve(&EndpointSettings::default()).unwrap();
        assert_eq!(endpoint, Endpoint::Unix("/var/run/docker.sock".into()));
    }

    #[test]
    fn the_host_comes_before_the_context_and_tls_needs_its_switch() {
        let mut settings = EndpointSettings {
            host: Some("tcp://build:1".into()),
            context: Some("absent".into()),
            cert_path: Some("/certs".into()),
            ..EndpointSettings::default()
        };
        let port = 1;
        assert_eq!(Endpoint::resolve(&settings).unwrap(), Endpoint::Tcp { host: "build".into(), port });
        settings.tls_files.ca = Some("/mine/ca.pem".into());
        settings.tls_verify = Some("1".into());
        let Endpoint::Tls { files, .. } = Endpoint::resolve(&settings).unwrap() else { panic!() };
        assert_eq!(files, TlsFiles { ca: Some("/mine/ca.pem".into()), ..TlsFiles::default() });
        // also without a directory of TLS files
        (settings.cert_path, settings.tls_files) = (None, TlsFiles::default());
        assert!(matches!(Endpoint::resolve(&settings).unwrap(), Endpoint::Tls { .. }));
    }

    #[test]
    fn tls_without_verification_is_refused() {
        let mut settings =
            EndpointSettings { host: Some("tcp://build".into()), tls: Some("1".into()), ..EndpointSettings::default() };
        assert_eq!(
            Endpoint::resolve(&settings).unwrap_err().0.to_string(),
            "error: TLS alone does not verify the engine's certificate\n  hint: secrets are sent only to an engine with a verified certificate: \
             set DOCKER_TLS_VERIFY=1, or --tlsverify, with its ca.pem"
        );
        settings.host = Some("unix:///x".into());
        assert_eq!(Endpoint::resolve(&settings).unwrap(), Endpoint::Unix("/x".into()));
    }
}
