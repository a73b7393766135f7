//! Owns what a run says of how far it is to whoever watches: counts and the manifest at hand, and never a secret's name.

use std::sync::Arc;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Counted {
    /// Secrets that are read.
    Secrets,
    /// Images that are baked.
    Images,
    /// Bytes of stored layers that are copied from one place to another.
    Bytes,
    /// Bytes of layers that an engine pushes.
    Pushed,
}

/// Someone who watches a run.
pub trait Watcher: Send + Sync {
    /// More is to be done than was known.
    fn expect(&self, what: Counted, more: u64);

    /// More is done.
    fn done(&self, what: Counted, more: u64);

    /// Work on the file of this name begins. By default nobody is told.
    fn now(&self, _what: Counted, _file: &str) {}
}

/// The way to whoever watches; by default nobody does.
#[derive(Clone, Default)]
pub struct Progress(Option<Arc<dyn Watcher>>);

impl Progress {
    /// Returns the way to a watcher.
    pub fn to(watcher: Arc<dyn Watcher>) -> Self {
        Progress(Some(watcher))
    }

    /// Says that more is to be done.
    pub fn expect(&self, what: Counted, more: u64) {
        if let Some(watcher) = &self.0 {
            watcher.expect(what, more);
        }
    }

    /// Says that more is done.
    pub fn done(&self, what: Counted, more: u64) {
        if let Some(watcher) = &self.0 {
            watcher.done(what, more);
        }
    }

    /// Says that work on a file begins.
    pub fn now(&self, what: Counted, file: &str) {
        if let Some(watcher) = &self.0 {
            watcher.now(what, file);
        }
    }
}
