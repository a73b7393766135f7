//! Makes the real parts of a run: a provider for each credential in use, and the image stores.

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;

use super::arguments::Registries;
use super::environment::Environment;
use super::input::Input;
use crate::diagnostic::Error;
use crate::org::Org;
use crate::org::file::Loaded;
use crate::runtime::blocking;
use crate::runtime::run::cannot_start;
use crate::runtime::unfinished::Unfinished;
use crate::secrets::CallLimits;
use crate::secrets::any::{self, AnyProvider};
use crate::store::any::Stores;
use crate::store::engine::EndpointSettings;

/// Makes a provider for each credential that a plan reads with.
pub(super) fn planned_providers(input: &Input, environment: &Environment) -> Result<Vec<Option<AnyProvider>>, Error> {
    let used = |index| input.plan.reads.iter().any(|read| read.credential == index);
    providers(&input.org, &input.org_dir, environment, used)
}

/// Like [`providers`], off the thread that listens for an interrupt: a file with a key may be a pipe.
pub(super) async fn providers_in_background(
    loaded: &Arc<Loaded>,
    environment: &Environment,
    used: impl Fn(usize) -> bool + Send + 'static,
) -> Result<Vec<Option<AnyProvider>>, Error> {
    all(connect_in_background(loaded, environment, used).await?)
}

/// Like [`providers_in_background`], but a provider that cannot be made does not keep the others from being used.
pub(super) async fn connect_in_background(
    loaded: &Arc<Loaded>,
    environment: &Environment,
    used: impl Fn(usize) -> bool + Send + 'static,
) -> Result<Vec<Connected>, Error> {
    let (loaded, environment) = (Arc::clone(loaded), environment.clone());
    let made = blocking::detached(move || connect(&loaded.org, &loaded.directory, &environment, used));
    made.await.map_err(|error| cannot_start(&error))
}

/// Makes a provider for each credential whose index is used. Reports every problem with their keys at once.
pub(super) fn providers(
    org: &Org,
    directory: &Path,
    environment: &Environment,
    used: impl Fn(usize) -> bool,
) -> Result<Vec<Option<AnyProvider>>, Error> {
    all(connect(org, directory, environment, used))
}

/// What came of connecting to a credential's provider; `None` if the credential is not used.
type Connected = Option<Result<AnyProvider, Error>>;

fn connect(org: &Org, directory: &Path, environment: &Environment, used: impl Fn(usize) -> bool) -> Vec<Connected> {
    let limits = CallLimits::default();
    let connect = |index| any::connect(org, index, directory, environment.for_org(), &limits);
    (0..org.credentials.len()).map(|index| used(index).then(|| connect(index))).collect()
}

fn all(connected: Vec<Connected>) -> Result<Vec<Option<AnyProvider>>, Error> {
    let mut problems: Option<Error> = None;
    let mut providers = Vec::new();
    for connected in connected {
        match connected.transpose() {
            Ok(provider) => providers.push(provider),
            Err(error) => problems = Some(Error::joined(problems, error)),
        }
    }
    problems.map_or(Ok(providers), Err)
}

/// Returns the stores. An engine is contacted only when one of its images is asked for. A program that is started to reach it (ssh) does not
/// get the variables that hold the keys of `org`; if that is `None`, it gets only those that it needs.
pub(super) fn stores(
    org: Option<&Org>,
    environment: &Environment,
    registries: &Registries,
    cleanup: Unfinished,
) -> Stores {
    let cache = environment.folders.cache.as_ref().map(|home| home.join("secretbake"));
    let engine = EndpointSettings {
        host: environment.docker_host.clone(),
        context: environment.docker_context.clone(),
        tls: environment.docker_tls.clone(),
        tls_verify: environment.docker_tls_verify.clone(),
        tls_files: environment.docker_tls_files.clone(),
        cert_path: environment.docker_cert_path.clone(),
        config_dir: environment.docker_config.clone(),
        home: environment.folders.home.clone(),
        withheld: match org {
            Some(org) => org.key_variables().into_iter().map(OsString::from).collect(),
            None => environment.variables_that_ssh_can_do_without(),
        },
    };
    Stores::new(engine, registries.insecure.clone(), cache, cleanup)
}
