//! Tests of the engine store with real engines, and with a stub in front of them.

use std::path::PathBuf;

use secretbake::image::name::ImageName;
use secretbake::image::platform::{Platform, Platforms};
use secretbake::image::{Base, BaseImage, Image, NewImage};
use secretbake::runtime::unfinished::Unfinished;
use secretbake::store::any::AnyStore;
use secretbake::store::engine::{Endpoint, EngineStore, Timeouts};
use secretbake::store::{BaseSource, ImageStore as _, Put, StoreError};

use crate::support::engine::Engine;

/// Runs test functions with one engine, in a module that `scripts/test` skips if that engine cannot be started.
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

/// Runs test functions with each engine.
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
mod container;
mod counts;
mod failures;
mod leftovers;
mod limits;
mod look_up;
mod odd_bases;
mod old_engines;
mod refused;
mod replaced;
mod side_by_side;

/// An image that every engine of the test environment has.
pub const BUSYBOX: &str = "secretbake-test/busybox:1";

impl Engine {
    fn endpoint(&self) -> Endpoint {
        Endpoint::parse(&self.host, None).unwrap()
    }

    async fn store(&self) -> EngineStore {
        EngineStore::connect(&self.endpoint(), None, Timeouts::default(), Unfinished::default()).await.unwrap()
    }

    async fn cached(&self, cache: PathBuf) -> EngineStore {
        EngineStore::connect(&self.endpoint(), Some(cache), Timeouts::default(), Unfinished::default()).await.unwrap()
    }
}

/// Reads one platform's image.
async fn read(store: &EngineStore, name: &ImageName, platform: Option<&Platform>) -> Result<Base, StoreError> {
    let BaseImage::One(base) = store.read(name, &Platforms::one(platform)).await? else { panic!("an index") };
    Ok(base)
}

/// Writes an image whose base the engine has.
async fn put(store: &EngineStore, image: &Image, tags: &[&ImageName]) -> Result<Put, StoreError> {
    let base = BaseSource { store: &AnyStore::Engine(store), name: &self::image(BUSYBOX), progress: None };
    store.put(&NewImage::Image(image.clone()), tags, base).await
}

fn image(name: &str) -> ImageName {
    ImageName::parse(name).unwrap()
}
