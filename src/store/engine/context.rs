//! Owns Docker contexts: reads their files in Docker's config directory and returns the engine's address.

use std::io::ErrorKind;
use std::path::Path;

use serde::Deserialize;

use super::endpoint::{Endpoint, TlsFiles};
use crate::diagnostic::Diagnostic;
use crate::image::digest::Digest;
use crate::runtime::bounded;
use crate::store::StoreError;

/// The largest context or configuration file to read, in bytes.
const MAX_FILE_SIZE: u64 = 16 << 20;

#[derive(Deserialize)]
struct DockerConfigFile {
    #[serde(rename = "currentContext")]
    current: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ContextMeta {
    #[serde(default)]
    endpoints: ContextEndpoints,
}

#[derive(Deserialize, Default)]
struct ContextEndpoints {
    docker: Option<DockerEndpoint>,
}

#[derive(Deserialize)]
struct DockerEndpoint {
    #[serde(rename = "Host")]
    host: Option<String>,
    #[serde(rename = "SkipTLSVerify", default)]
    skip_tls_verify: bool,
}

/// Returns the current context in the `config.json` of this directory.
pub(super) fn current_context(dir: &Path) -> Result<Option<String>, StoreError> {
    let config: Option<DockerConfigFile> = read(&dir.join("config.json"))?;
    Ok(config.and_then(|config| config.current).filter(|name| !name.is_empty()))
}

/// Returns the engine's address in a context.
pub(super) fn endpoint(dir: &Path, name: &str) -> Result<Endpoint, StoreError> {
    let id = Digest::of(name.as_bytes());
    let contexts = dir.join("contexts");
    let meta: Option<ContextMeta> = read(&contexts.join("meta").join(id.hex()).join("meta.json"))?;
    let meta = meta.ok_or_else(|| not_found(name))?;
    let Some(DockerEndpoint { host: Some(host), skip_tls_verify }) = meta.endpoints.docker else {
        let what = format!("the Docker context `{name}` has no engine address");
        return Err(Diagnostic::error("engine-context", what)
            .hint("choose another context with DOCKER_CONTEXT")
            .into());
    };
    let tls = contexts.join("tls").join(id.hex()).join("docker");
    if skip_tls_verify {
        let what = format!("the Docker context `{name}` does not verify the engine's certificate");
        return Err(unverified(&what, "create the context again with its ca.pem"));
    }
    Endpoint::parse(&host, tls.is_dir().then(|| TlsFiles::inside(&tls)))
}

/// Refuses TLS without verification; `next` says how to turn verification on.
pub(super) fn unverified(what: &str, next: &str) -> StoreError {
    let hint = format!("secrets are sent only to an engine with a verified certificate: {next}");
    Diagnostic::error("engine-unverified", what).hint(hint).into()
}

/// Reports a context that does not exist.
pub(super) fn not_found(name: &str) -> StoreError {
    let what = format!("Docker context not found: {name}");
    Diagnostic::error("engine-context", what).hint("list contexts with `docker context ls`").into()
}

fn read<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<Option<T>, StoreError> {
    let failed = |cause: String| {
        let what = format!("cannot read Docker's configuration file {}", path.display());
        StoreError::from(
            Diagnostic::error("engine-context", what).cause(cause).hint("fix the file, or set DOCKER_HOST"),
        )
    };
    match bounded::read_file(path, MAX_FILE_SIZE).map_err(std::io::Error::from) {
        // serde's message may quote the file, which may hold registry logins
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| failed(format!("unexpected JSON at line {} column {}", error.line(), error.column()))),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(failed(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::engine::settings::EndpointSettings;

    fn docker_config(context: &str, meta: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let id = Digest::of(context.as_bytes());
        let folder = dir.path().join("contexts/meta").join(id.hex());
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("meta.json"), meta).unwrap();
        dir
    }

    fn settings(dir: &tempfile::TempDir) -> EndpointSettings {
        EndpointSettings { config_dir: Some(dir.path().into()), ..EndpointSettings::default() }
    }

    #[test]
    fn the_current_context_is_followed_and_another_may_be_named() {
        let meta = r#"{"Name":"build","Metadata":{},"Endpoints":{"docker":{"Host":"tcp://build:2376","SkipTLSVerify":false}}}"#;
        let dir = docker_config("build", meta);
        std::fs::write(dir.path().join("config.json"), r#"{"auths":{},"currentContext":"build"}"#).unwrap();
        let mut settings = settings(&dir);
        assert_eq!(Endpoint::resolve(&settings).unwrap(), Endpoint::Tcp { host: "build".into(), port: 2376 });
        settings.context = Some("default".into());
        assert!(matches!(Endpoint::resolve(&settings).unwrap(), Endpoint::Unix(_)));
        settings.context = Some("other".into());
        assert_eq!(Endpoint::resolve(&settings).unwrap_err().0.what, "Docker context not found: other");
    }

    #[test]
    fn a_context_with_certificates_means_tls() {
        let meta = r#"{"Endpoints":{"docker":{"Host":"tcp://build:2376"}}}"#;
        let dir = docker_config("build", meta);
        let tls = dir.path().join("contexts/tls").join(Digest::of(b"build").hex()).join("docker");
        std::fs::create_dir_all(&tls).unwrap();
        std::fs::write(tls.join("ca.pem"), "").unwrap();
        let settings = EndpointSettings { context: Some("build".into()), ..settings(&dir) };
        let files = TlsFiles { ca: Some(tls.join("ca.pem")), ..TlsFiles::default() };
        assert_eq!(Endpoint::resolve(&settings).unwrap(), Endpoint::Tls { host: "build".into(), port: 2376, files });
    }

    #[test]
    fn what_cannot_be_used_says_why() {
        for (meta, code) in [
            ("{", "engine-context"),
            (r#"{"Endpoints":{}}"#, "engine-context"),
            (r#"{"Endpoints":{"docker":{"Host":"tcp://a:1","SkipTLSVerify":true}}}"#, "engine-unverified"),
        ] {
            let dir = docker_config("x", meta);
            let settings = EndpointSettings { context: Some("x".into()), ..settings(&dir) };
            assert_eq!(Endpoint::resolve(&settings).unwrap_err().0.code, code, "{meta}");
        }
    }
}
