//! The engine store against real engines and against a stub that speaks their wire.

/// Makes one test per engine of a function that takes one.
macro_rules! in_each_engine {
    ($($test:ident),* $(,)?) => {
        mod overlay2 { $(
            #[tokio::test]
            async fn $test() {
                if let Some(engine) = crate::engine::support::engine::engine("SECRETBAKE_TEST_DOCKER_HOST") { super::$test(engine).await }
            }
        )* }
        mod containerd { $(
            #[tokio::test]
            async fn $test() {
                if let Some(engine) = crate::engine::support::engine::engine("SECRETBAKE_TEST_CONTAINERD_HOST") { super::$test(engine).await }
            }
        )* }
        mod podman { $(
            #[tokio::test]
            async fn $test() {
                if let Some(engine) = crate::engine::support::engine::engine("SECRETBAKE_TEST_PODMAN_HOST") { super::$test(engine).await }
            }
        )* }
    };
}

mod append;
mod bases;
mod counts;
mod entries;
mod leftovers;
mod old;
mod reach;
mod refused;
mod replaced;
pub mod support;
mod wire;
