//! Owns what a run that reads the labels of many images shares: each config is read once, and requests are limited in number.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OnceCell, Semaphore, SemaphorePermit};

use super::StoreError;
use crate::image::digest::Digest;
use crate::image::labels::ImageLabels;

/// The reads of one run. A registry is asked for a manifest, then for a config: `jobs` of each at once, so that one kind need not wait
/// for the other.
pub struct LabelReads {
    manifests: Semaphore,
    configs: Semaphore,
    /// By registry and by the config's digest. Only labels are kept: a config may hold secrets.
    read: Mutex<HashMap<(String, Digest), ReadOnce>>,
    jobs: usize,
    /// By registry: how many reads have failed since one was answered.
    failed: Mutex<HashMap<String, usize>>,
}

/// Set as soon as a config was read.
type ReadOnce = Arc<OnceCell<ImageLabels>>;

/// What the tag of a base points to now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BaseNow {
    /// The image that it pointed to.
    Same,
    Moved(Digest),
    /// There is no such tag anymore.
    Gone,
}

impl LabelReads {
    pub fn new(jobs: usize) -> Self {
        let (manifests, configs) = (Semaphore::new(jobs), Semaphore::new(jobs));
        LabelReads { manifests, configs, read: Mutex::default(), jobs, failed: Mutex::default() }
    }

    /// Waits until an image or a manifest may be read.
    pub(super) async fn manifest(&self) -> Option<SemaphorePermit<'_>> {
        // it is never closed
        self.manifests.acquire().await.ok()
    }

    /// Notes whether a registry answered.
    pub(super) fn note(&self, host: &str, answered: bool) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        match answered {
            true => drop(failed.remove(host)),
            false => *failed.entry(host.to_owned()).or_default() += 1,
        }
    }

    /// Returns how many reads of a registry failed in a row, if these are all that may be under way at once: asking for the rest of
    /// a large fleet would take a time limit for each round.
    pub(super) fn failed_in_a_row(&self, host: &str) -> Option<usize> {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.get(host).copied().filter(|failed| *failed >= self.jobs)
    }

    /// Returns the labels of a config, which `read` reads at most once for all images that have it.
    pub(super) async fn config(
        &self,
        host: &str,
        digest: &Digest,
        read: impl AsyncFnOnce() -> Result<ImageLabels, StoreError>,
    ) -> Result<ImageLabels, StoreError> {
        let cell = {
            let mut cells = self.read.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(cells.entry((host.to_owned(), digest.clone())).or_default())
        };
        let read = async || {
            let _permit = self.configs.acquire().await;
            read().await
        };
        cell.get_or_try_init(read).await.cloned()
    }
}
