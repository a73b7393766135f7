//! The containerd store of Engine 25 to 27, which lists no manifests: the tests use a newer engine with the older API.

use secretbake::image::platform::Platform;
use secretbake::runtime::unfinished::Unfinished;
use secretbake::store::ImageStore as _;
use secretbake::store::engine::{Endpoint, EngineStore, Timeouts};
use serde_json::{Value, json};

use super::{BUSYBOX, image, put, read};
use crate::support::append::append;
use crate::support::engine::Engine;
use crate::support::engine_proxy::{Proxy, Reply};
use crate::support::oci_base::{Oci, blob, busybox_layer, directory, feed, oci_archive, tar_of};

in_engine!(only_containerd, containerd: a_base_of_one_platform_is_baked, the_platform_is_chosen_from_the_index, an_image_that_cannot_be_unpacked_is_an_error, an_engine_that_cannot_return_a_manifest_is_too_old);

/// Connects with the API version of Engine 25. The stub answers requests that start with the text in `answered`.
async fn connect(engine: &Engine, answered: Option<(&'static str, Reply)>) -> (EngineStore, Proxy) {
    let proxy = Proxy::start(Some(&engine.host), move |asked| match &answered {
        _ if asked == "GET /_ping" => Some(Reply::Pong("1.44")),
        Some((request, reply)) if asked.starts_with(request) => Some(reply.clone()),
        _ => None,
    });
    let endpoint = Endpoint::parse(&proxy.host(), None).unwrap();
    let store = EngineStore::connect(&endpoint, None, Timeouts::default(), Unfinished::default()).await.unwrap();
    (store, proxy)
}

async fn a_base_of_one_platform_is_baked(engine: Engine) {
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
    assert_eq!(engine.shell(&tag, "cat /baked/value"), "of an old engine");
    let other = Platform::parse("linux/s390x").unwrap();
    let error = read(&store, &image(BUSYBOX), Some(&other)).await.err().unwrap();
    assert_eq!(error.0.code, "base-platform");
}

async fn the_platform_is_chosen_from_the_index(engine: Engine) {
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
    assert_eq!(error.0.causes, ["available platforms: linux/arm64, linux/amd64"]);
}

async fn an_image_that_cannot_be_unpacked_is_an_error(engine: Engine) {
    let tag = engine.name("old-parts");
    let refused = Reply::Say(500, r#"{"message":"failed to extract layer"}"#);
    let (store, _proxy) = connect(&engine, Some(("POST /containers/create", refused))).await;
    let base = read(&store, &image(BUSYBOX), None).await.unwrap();
    let error = put(&store, &append(&base, "parts"), &[&image(&tag)]).await.err().unwrap();
    assert_eq!(error.0.what, "cannot write the image: the engine could not unpack it");
    assert_eq!(store.tag_state(&image(&tag)).await.unwrap(), None);
}

async fn an_engine_that_cannot_return_a_manifest_is_too_old(engine: Engine) {
    let (store, _proxy) = connect(&engine, Some(("GET /images/secretbake-alias", Reply::Say(200, "")))).await;
    let error = read(&store, &image(BUSYBOX), None).await.err().unwrap();
    assert_eq!(
        error.0.to_string(),
        format!(
            "error: this engine cannot return the manifest of a base\n  \
             cause: with the containerd image store, this needs Engine 28 (API 1.48) or later\n  \
             hint: update the engine\n  \
             hint: or bake in the registry, without an engine: docker://{BUSYBOX}"
        )
    );
}
