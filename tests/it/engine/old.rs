//! The containerd store of Engines 25 to 27, which tells no manifests: the newer engine under test speaks their API.

use secretbake::image::platform::Platform;
use secretbake::store::ImageStore as _;
use secretbake::store::engine::{Endpoint, EngineStore, Limits};
use serde_json::{Value, json};
use tokio_util::task::TaskTracker;

use crate::engine::support::base::{Oci, blob, busybox_layer, directory, feed, oci_archive, tar_of};
use crate::engine::support::engine::{BUSYBOX, Engine, engine, image};
use crate::engine::support::image::{append, put, read};
use crate::engine::support::proxy::{Proxy, Reply};

/// Connects as to Engine 25; the stub answers what begins so itself.
async fn connect(engine: &Engine, answered: Option<(&'static str, Reply)>) -> (EngineStore, Proxy) {
    let proxy = Proxy::start(Some(&engine.host), move |asked| match &answered {
        _ if asked == "GET /_ping" => Some(Reply::Pong("1.44")),
        Some((request, reply)) if asked.starts_with(request) => Some(reply.clone()),
        _ => None,
    });
    let endpoint = Endpoint::parse(&proxy.host(), None).unwrap();
    let store = EngineStore::connect(&endpoint, None, Limits::default(), TaskTracker::new()).await.unwrap();
    (store, proxy)
}

#[tokio::test]
async fn a_base_of_one_platform_is_baked() {
    let Some(mut engine) = engine("SECRETBAKE_TEST_CONTAINERD_HOST") else { return };
    let expected = read(&engine.store().await, &image(BUSYBOX), None).await.unwrap();
    let (store, _proxy) = connect(&engine, None).await;
    let base = read(&store, &image(BUSYBOX), None).await.unwrap();
    assert!(
        base.manifest == expected.manifest
            && base.config.bytes() == expected.config.bytes()
            && base.digest == expected.digest
    );
    let tag = engine.name("old");
    put(&store, &append(&base, "of an old engine"), &[&image(&tag)]).await.unwrap();
    assert_eq!(engine.run(&tag, "cat /baked/value"), "of an old engine");
    let other = Platform::parse("linux/s390x").unwrap();
    let error = read(&store, &image(BUSYBOX), Some(&other)).await.err().unwrap();
    assert_eq!(error.0.code, "base-platform");
}

#[tokio::test]
async fn the_platform_is_chosen_from_the_index() {
    let Some(mut engine) = engine("SECRETBAKE_TEST_CONTAINERD_HOST") else { return };
    let config = |architecture: &str| json!({ "architecture": architecture, "os": "linux", "config": { "Labels": { "for": architecture } } });
    let layers = [blob(busybox_layer(&engine), "gzip")];
    let other = [blob(tar_of(&[directory("etc/", 0, 0, 0o700, 5)]), "gzip")];
    let images = ["arm64", "amd64"].map(|name| Oci {
        config: config(name),
        layers: if name == "amd64" { &layers } else { &other[..] },
        manifest: json!({}),
    });
    let name = engine.name("old-index");
    let (archive, ..) = oci_archive(&name, &images);
    feed(&engine, &["load"], &archive);
    let (store, _proxy) = connect(&engine, None).await;
    for (platform, architecture) in [(None, "amd64"), (Some("linux/arm64"), "arm64")] {
        let platform = platform.and_then(Platform::parse);
        let base = read(&store, &image(&name), platform.as_ref()).await.unwrap();
        let config: Value = serde_json::from_slice(base.config.bytes()).unwrap();
        assert_eq!(config["config"]["Labels"]["for"], architecture);
    }
    let error = read(&store, &image(&name), Platform::parse("linux/s390x").as_ref()).await.err().unwrap();
    assert_eq!(error.0.causes, ["it has it for linux/arm64, linux/amd64"]);
}

#[tokio::test]
async fn an_image_that_no_container_can_be_made_of_is_not_taken_for_baked() {
    let Some(mut engine) = engine("SECRETBAKE_TEST_CONTAINERD_HOST") else { return };
    let tag = engine.name("old-parts");
    let refused = Reply::Say(500, r#"{"message":"failed to extract layer"}"#);
    let (store, _proxy) = connect(&engine, Some(("POST /containers/create", refused))).await;
    let base = read(&store, &image(BUSYBOX), None).await.unwrap();
    let error = put(&store, &append(&base, "parts"), &[&image(&tag)]).await.err().unwrap();
    assert_eq!(error.0.what, "cannot write the image: the engine could not unpack it");
    assert_eq!(store.tag_state(&image(&tag)).await.unwrap(), None);
}

#[tokio::test]
async fn an_engine_that_does_not_tell_a_manifest_at_all_is_too_old() {
    let Some(engine) = engine("SECRETBAKE_TEST_CONTAINERD_HOST") else { return };
    let (store, _proxy) = connect(&engine, Some(("GET /images/secretbake-alias", Reply::Say(200, "")))).await;
    let error = read(&store, &image(BUSYBOX), None).await.err().unwrap();
    assert_eq!(
        error.0.to_string(),
        format!(
            "error: this engine's containerd image store does not tell a base's manifest\n  \
             cause: it does so from Engine 28 on (API 1.48)\n  \
             hint: update the engine\n  \
             hint: or bake in the registry, without the engine: docker://{BUSYBOX}"
        )
    );
}
