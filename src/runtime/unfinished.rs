//! Owns what must be finished before the process ends: work that may not be left half done, and the removal of what was made for a time.

use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// The work that the end of the run waits for. Clones share it.
#[derive(Clone, Default)]
pub struct Unfinished(TaskTracker);

/// Keeps the run from ending until it is dropped.
pub struct Held(#[expect(dead_code, reason = "it counts until it is dropped")] TaskTrackerToken);

impl Unfinished {
    /// Begins work that may not be left half done. Where the run is ending already, this never returns: nothing begins any more.
    pub async fn begin(&self) -> Held {
        if self.0.is_closed() {
            return std::future::pending().await;
        }
        self.hold()
    }

    /// Counts work that has begun.
    pub fn hold(&self) -> Held {
        Held(self.0.token())
    }

    /// Starts a removal, also where the run is ending.
    pub fn spawn(&self, removal: impl Future<Output = ()> + Send + 'static, runtime: &Handle) {
        self.0.spawn_on(removal, runtime);
    }

    /// Lets nothing [`begin`](Self::begin) any more.
    pub fn close(&self) {
        self.0.close();
    }

    /// Waits until all is finished, once it is closed.
    pub async fn finished(&self) {
        self.0.wait().await;
    }
}
