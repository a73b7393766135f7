//! Baked images that lose their tag.

use secretbake::image::digest::Digest;
use secretbake::runtime::unfinished::Unfinished;
use secretbake::store::ImageStore as _;
use secretbake::store::engine::{Endpoint, EngineStore, Limits};

use super::{BUSYBOX, image};
use crate::support::append::append;
use crate::support::engine::Engine;
use crate::support::engine_proxy::{Proxy, Reply};
use crate::support::variable;

in_engine!(only_podman, podman: a_container_in_a_state_that_only_podman_has_is_one_too);

in_each_engine!(
    a_replaced_image_is_named_and_removed,
    an_image_in_use_stays,
    an_image_that_was_not_baked_stays,
    an_image_that_was_pushed_to_two_repositories_is_removed
);

async fn a_replaced_image_is_named_and_removed(engine: Engine) {
    let store = engine.store().await;
    let (tag, other) = (engine.name("rotated"), engine.name("rotated"));
    let base = store.base(&image(BUSYBOX), None).await.unwrap();
    let old = append(&base, "old");
    let id = store.identity(&old);
    store.write(&old, &[&image(&tag), &image(&other)]).await.unwrap();
    // one of two names is taken away: the old image still has the other
    let written = store.write(&append(&base, "new"), &[&image(&tag)]).await.unwrap();
    assert_eq!(written.warnings, []);
    let error = store.prune(&id).await.unwrap_err();
    assert_eq!(error.0.code, "image-in-use");
    let written = store.write(&append(&base, "new"), &[&image(&other)]).await.unwrap();
    let warning = &written.warnings[0];
    assert_eq!(warning.what, format!("previous baked image {id} is now untagged and still holds the old secrets"));
    assert_eq!(store.replaced(), std::slice::from_ref(&id));
    store.prune(&id).await.unwrap();
    assert!(!engine.try_cli(&["image", "inspect", id.as_str()]).status.success());
    store.prune(&id).await.unwrap();
    assert_eq!(engine.shell(&tag, "cat /baked/value"), "new");
}

async fn an_image_in_use_stays(engine: Engine) {
    let store = engine.store().await;
    let tag = engine.name("used");
    let base = store.base(&image(BUSYBOX), None).await.unwrap();
    let old = append(&base, "used");
    let id: Digest = store.identity(&old);
    store.write(&old, &[&image(&tag)]).await.unwrap();
    let container = engine.text(&["create", "--network", "none", &tag]);
    store.write(&append(&base, "newer"), &[&image(&tag)]).await.unwrap();
    let error = store.prune(&id).await.unwrap_err();
    engine.text(&["rm", &container]);
    assert_eq!(error.0.code, "image-in-use", "{}", error.0);
    store.prune(&id).await.unwrap();
}

async fn a_container_in_a_state_that_only_podman_has_is_one_too(engine: Engine) {
    let store = engine.store().await;
    let tag = engine.name("stopped");
    let base = store.base(&image(BUSYBOX), None).await.unwrap();
    let old = append(&base, &tag);
    let id = store.identity(&old);
    store.write(&old, &[&image(&tag)]).await.unwrap();
    store.write(&append(&base, "newest"), &[&image(&tag)]).await.unwrap();
    let listed = format!(r#"[{{"Id":"c","Names":null,"ImageID":"{id}","State":"stopped"}}]"#).leak();
    let proxy = Proxy::start(Some(&engine.host), |asked| match asked {
        "GET /containers/json" => Some(Reply::Say(200, listed)),
        _ => asked.starts_with("DELETE /images").then_some(Reply::Say(409, r#"{"message":"in use"}"#)),
    });
    let endpoint = Endpoint::parse(&proxy.host(), None).unwrap();
    let behind = EngineStore::connect(&endpoint, None, Limits::default(), Unfinished::default()).await.unwrap();
    assert_eq!(behind.prune(&id).await.unwrap_err().0.code, "image-in-use");
    store.prune(&id).await.unwrap();
}

async fn an_image_that_was_not_baked_stays(engine: Engine) {
    let store = engine.store().await;
    let id = store.current(&image(BUSYBOX)).await.unwrap().unwrap();
    assert_eq!(store.prune(&id).await.unwrap_err().0.code, "not-baked");
}

async fn an_image_that_was_pushed_to_two_repositories_is_removed(engine: Engine) {
    let registry = variable("SECRETBAKE_TEST_REGISTRY");
    let store = engine.store().await;
    let tags = [engine.name("first"), engine.name("second")].map(|name| format!("{registry}/{name}"));
    tags.iter().for_each(|tag| engine.remove_later(tag));
    let names = [image(&tags[0]), image(&tags[1])];
    let base = store.base(&image(BUSYBOX), None).await.unwrap();
    let old = append(&base, &tags[0]);
    let id = store.identity(&old);
    store.write(&old, &[&names[0], &names[1]]).await.unwrap();
    for tag in &tags {
        engine.text(&["push", tag]);
    }
    store.write(&append(&base, &tags[1]), &[&names[0], &names[1]]).await.unwrap();
    store.prune(&id).await.unwrap();
    assert!(!engine.try_cli(&["image", "inspect", id.as_str()]).status.success());
    assert_eq!(engine.shell(&tags[0], "cat /baked/value"), tags[1]);
}
