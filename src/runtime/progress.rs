//! Reports the progress of a run to a watcher: counts and the current manifest, never the name of a secret.

use std::sync::Arc;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Counted {
    /// Secrets to read.
    Secrets,
    /// Images to bake.
    Images,
    /// Bytes of layers to copy between stores.
    Bytes,
    /// Bytes of layers that an engine has to push.
    Pushed,
}

/// Receives the progress of a run.
pub trait Watcher: Send + Sync {
    /// Adds to the expected total.
    fn expect(&self, what: Counted, more: u64);

    /// Adds to what is done.
    fn done(&self, what: Counted, more: u64);

    /// Work on the file of this name starts. Ignored by default.
    fn now(&self, _what: Counted, _file: &str) {}
}

/// Passes progress on to a watcher, if there is one.
#[derive(Clone, Default)]
pub struct Progress(Option<Arc<dyn Watcher>>);

impl Progress {
    /// Passes progress on to `watcher`.
    pub fn to(watcher: Arc<dyn Watcher>) -> Self {
        Progress(Some(watcher))
    }

    /// Adds to the expected total.
    pub fn expect(&self, what: Counted, more: u64) {
        if let Some(watcher) = &self.0 {
            watcher.expect(what, more);
        }
    }

    /// Adds to what is done.
    pub fn done(&self, what: Counted, more: u64) {
        if let Some(watcher) = &self.0 {
            watcher.done(what, more);
        }
    }

    /// Reports that work on a file starts.
    pub fn now(&self, what: Counted, file: &str) {
        if let Some(watcher) = &self.0 {
            watcher.now(what, file);
        }
    }
}
