//! Owns what must finish before the process ends: work that must not be left half done, and the removal of temporary resources.

use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// The work that the end of the run waits for. Clones share it.
#[derive(Clone, Default)]
pub struct Unfinished(TaskTracker);

/// Keeps the run from ending until dropped.
pub struct Held(#[expect(dead_code, reason = "it counts until it is dropped")] TaskTrackerToken);

impl Unfinished {
    /// Starts work that must not be left half done. Never returns if the run is already ending, so nothing new starts.
    pub async fn begin(&self) -> Held {
        if self.0.is_closed() {
            return std::future::pending().await;
        }
        self.hold()
    }

    /// Counts work that has started.
    pub fn hold(&self) -> Held {
        Held(self.0.token())
    }

    /// Starts a removal, even if the run is ending.
    pub fn spawn(&self, removal: impl Future<Output = ()> + Send + 'static, runtime: &Handle) {
        self.0.spawn_on(removal, runtime);
    }

    /// Stops [`begin`](Self::begin) from starting more work.
    pub fn close(&self) {
        self.0.close();
    }

    /// Waits until all work is finished; call [`close`](Self::close) first.
    pub async fn finished(&self) {
        self.0.wait().await;
    }
}
