//! Owns what a run says of how far it is to whoever watches: counts, and never what is counted.

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
}
