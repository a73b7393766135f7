//! The engine store against real engines and against a stub that speaks their wire.

use std::path::PathBuf;

use secretbake::image::name::ImageName;
use secretbake::runtime::unfinished::Unfinished;
use secretbake::store::engine::{Endpoint, EngineStore, Limits};

use crate::support::engine::Engine;

/// Makes tests of functions that take an engine, in a module that `scripts/test` leaves out where that engine cannot be started.
macro_rules! in_engine {
    ($module:ident, $engine:ident: $($test:ident),* $(,)?) => {
        mod $module { $(
            #[tokio::test]
            async fn $test() {
                super::$test(crate::support::engine::Engine::$engine()).await
            }
        )* }
    };
}

macro_rules! in_each_engine {
    ($($test:ident),* $(,)?) => {
        in_engine!(overlay2, overlay2: $($test),*);
        in_engine!(containerd, containerd: $($test),*);
        in_engine!(podman, podman: $($test),*);
    };
}

mod append;
mod bases;
mod connect;
mod counts;
mod failures;
mod fallback;
mod leftovers;
mod look_up;
mod old_engines;
mod replaced;

/// The image that every engine under test has.
pub const BUSYBOX: &str = "secretbake-test/busybox:1";

impl Engine {
    fn endpoint(&self) -> Endpoint {
        Endpoint::parse(&self.host, None).unwrap()
    }

    async fn store(&self) -> EngineStore {
        EngineStore::connect(&self.endpoint(), None, Limits::default(), Unfinished::default()).await.unwrap()
    }

    async fn cached(&self, cache: PathBuf) -> EngineStore {
        EngineStore::connect(&self.endpoint(), Some(cache), Limits::default(), Unfinished::default()).await.unwrap()
    }
}

fn image(name: &str) -> ImageName {
    ImageName::parse(name).unwrap()
}
