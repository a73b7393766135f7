//! Owns the choice of a provider by a credential's `provider:`, so that a caller needs no type parameter.

use std::path::Path;

use super::aws::{AwsProvider, AwsVariables};
use super::command::CommandProvider;
use super::file::FileProvider;
use super::{CallLimits, Provider, ProviderError, ReadResult, SecretBelow, SecretDescription};
use crate::diagnostic::Error;
use crate::manifest::Version;
use crate::manifest::reference::SecretId;
use crate::org::file::{Variables, keys, web_identity_token};
use crate::org::{Org, Settings};

/// A provider of any kind.
pub enum AnyProvider {
    Aws(Box<AwsProvider>),
    Command(CommandProvider),
    File(FileProvider),
}

/// Makes the provider of a credential. Nothing is sent before the first read.
///
/// `directory` is the org file's: relative paths start there.
///
/// # Errors
/// What is wrong with the keys' sources or the secrets file: every problem, without any value.
pub fn connect(
    org: &Org,
    credential: usize,
    directory: &Path,
    variables: Variables<'_>,
    limits: &CallLimits,
) -> Result<AnyProvider, Error> {
    let credential = &org.credentials[credential];
    match &credential.settings {
        Settings::File(settings) => Ok(AnyProvider::File(FileProvider::open(&directory.join(&settings.path))?)),
        Settings::Command(settings) => {
            let provider = CommandProvider::new(&credential.name, settings, directory, variables, limits.operation);
            Ok(AnyProvider::Command(provider))
        }
        Settings::Aws(settings) => {
            let keys = keys(org, credential, settings, directory, variables)?;
            let token = web_identity_token(org, credential, settings, directory, variables)?;
            let variables = AwsVariables::read(variables);
            let provider = AwsProvider::new(&credential.name, settings, keys, variables, limits.clone());
            Ok(AnyProvider::Aws(Box::new(provider.with_web_identity(token))))
        }
    }
}

impl Provider for AnyProvider {
    async fn read(&self, id: &SecretId, version: &Version) -> ReadResult {
        match self {
            // in boxes, as they are large: reads run side by side, and those of a file need no room for them
            AnyProvider::Aws(provider) => Box::pin(provider.read(id, version)).await,
            AnyProvider::Command(provider) => Box::pin(provider.read(id, version)).await,
            AnyProvider::File(provider) => provider.read(id, version).await,
        }
    }

    fn batch_size(&self, version: &Version) -> usize {
        match self {
            AnyProvider::Aws(provider) => provider.batch_size(version),
            AnyProvider::Command(provider) => provider.batch_size(version),
            AnyProvider::File(provider) => provider.batch_size(version),
        }
    }

    async fn read_together(&self, ids: &[&SecretId], version: &Version) -> Vec<Option<ReadResult>> {
        match self {
            AnyProvider::Aws(provider) => provider.read_together(ids, version).await,
            AnyProvider::Command(provider) => provider.read_together(ids, version).await,
            AnyProvider::File(provider) => provider.read_together(ids, version).await,
        }
    }

    async fn read_below(&self, path: &SecretId) -> Result<Vec<SecretBelow>, ProviderError> {
        match self {
            AnyProvider::Aws(provider) => provider.read_below(path).await,
            AnyProvider::Command(provider) => provider.read_below(path).await,
            AnyProvider::File(provider) => provider.read_below(path).await,
        }
    }

    async fn describe_below(&self, path: &SecretId) -> Result<Vec<SecretDescription>, ProviderError> {
        match self {
            AnyProvider::Aws(provider) => provider.describe_below(path).await,
            AnyProvider::Command(provider) => provider.describe_below(path).await,
            AnyProvider::File(provider) => provider.describe_below(path).await,
        }
    }

    fn describe_size(&self) -> usize {
        match self {
            AnyProvider::Aws(provider) => provider.describe_size(),
            AnyProvider::Command(provider) => provider.describe_size(),
            AnyProvider::File(provider) => provider.describe_size(),
        }
    }

    async fn describe_together(&self, ids: &[&SecretId]) -> Vec<Option<Result<SecretDescription, ProviderError>>> {
        match self {
            AnyProvider::Aws(provider) => provider.describe_together(ids).await,
            AnyProvider::Command(provider) => provider.describe_together(ids).await,
            AnyProvider::File(provider) => provider.describe_together(ids).await,
        }
    }

    async fn describe(&self, id: &SecretId, version: &Version) -> Result<SecretDescription, ProviderError> {
        match self {
            AnyProvider::Aws(provider) => provider.describe(id, version).await,
            AnyProvider::Command(provider) => provider.describe(id, version).await,
            AnyProvider::File(provider) => provider.describe(id, version).await,
        }
    }

    fn describes(&self) -> bool {
        match self {
            AnyProvider::Aws(provider) => provider.describes(),
            AnyProvider::Command(provider) => provider.describes(),
            AnyProvider::File(provider) => provider.describes(),
        }
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>, ProviderError> {
        match self {
            AnyProvider::Aws(provider) => provider.list(prefix).await,
            AnyProvider::Command(provider) => provider.list(prefix).await,
            AnyProvider::File(provider) => provider.list(prefix).await,
        }
    }
}
