//! Baked images that lose their tag.

use secretbake::runtime::unfinished::Unfinished;
use secretbake::store::ImageStore as _;
use secretbake::store::engine::{Endpoint, EngineStore, Timeouts};

use super::{BUSYBOX, image, put, read};
use crate::support::append::append;
use crate::support::engine::Engine;
use crate::support::engine_proxy::{Proxy, Reply};
use crate::support::variable;

in_engine!(only_podman, podman: a_container_in_a_podman_only_state_counts_like_any_other);

in_each_engine!(
    a_replaced_image_is_named_and_removed,
    an_image_in_use_stays,
    an_image_that_was_not_baked_stays,
    an_image_pushed_to_two_repositories_is_removed
);

async fn a_replaced_image_is_named_and_removed(engine: Engine) {
    let store = engine.store().await;
    let (tag, other) = (engine.name("rotated"), engine.name("rotated"));
    let base = read(&store, &image(BUSYBOX), None).await.unwrap();
    let id = put(&store, &append(&base, "old"), &[&image(&tag), &image(&other)]).await.unwrap().identity;
    // the old image loses one of its two tags
    let written = put(&store, &append(&base, "new"), &[&image(&tag)]).await.unwrap();
    assert_eq!(written.displaced, []);
    let error = store.remove_untagged(&id).await.unwrap_err();
    assert_eq!(error.0.code, "image-in-use");
    let written = put(&store, &append(&base, "new"), &[&image(&other)]).await.unwrap();
    let [displaced] = &written.displaced[..] else { panic!("{written:?}") };
    assert_eq!(
        displaced.warning().unwrap().what,
        format!("previous baked image {id} is now untagged and still holds the old secrets")
    );
    assert_eq!(displaced.id, id);
    store.remove_untagged(&id).await.unwrap();
    assert!(!engine.try_cli(&["image", "inspect", id.as_str()]).status.success());
    store.remove_untagged(&id).await.unwrap();
    assert_eq!(engine.shell(&tag, "cat /baked/value"), "new");
}

async fn an_image_in_use_stays(engine: Engine) {
    let store = engine.store().await;
    let tag = engine.name("used");
    let base = read(&store, &image(BUSYBOX), None).await.unwrap();
    let old = append(&base, "used");
    let id = put(&store, &old, &[&image(&tag)]).await.unwrap().identity;
    let container = engine.text(&["create", "--network", "none", &tag]);
    put(&store, &append(&base, "newer"), &[&image(&tag)]).await.unwrap();
    let error = store.remove_untagged(&id).await.unwrap_err();
    engine.text(&["rm", &container]);
    assert_eq!(error.0.code, "image-in-use", "{}", error.0);
    store.remove_untagged(&id).await.unwrap();
}

async fn a_container_in_a_podman_only_state_counts_like_any_other(engine: Engine) {
    let store = engine.store().await;
    let tag = engine.name("stopped");
    let base = read(&store, &image(BUSYBOX), None).await.unwrap();
    let old = append(&base, &tag);
    let id = put(&store, &old, &[&image(&tag)]).await.unwrap().identity;
    put(&store, &append(&base, "newest"), &[&image(&tag)]).await.unwrap();
    let listed = format!(r#"[{{"Id":"c","Names":null,"ImageID":"{id}","State":"stopped"}}]"#).leak();
    let proxy = Proxy::start(Some(&engine.host), |asked| match asked {
        "GET /containers/json" => Some(Reply::Say(200, listed)),
        _ => asked.starts_with("DELETE /images").then_some(Reply::Say(409, r#"{"message":"in use"}"#)),
    });
    let endpoint = Endpoint::parse(&proxy.host(), None).unwrap();
    let behind = EngineStore::connect(&endpoint, None, Timeouts::default(), Unfinished::default()).await.unwrap();
    assert_eq!(behind.remove_untagged(&id).await.unwrap_err().0.code, "image-in-use");
    store.remove_untagged(&id).await.unwrap();
}

async fn an_image_that_was_not_baked_stays(engine: Engine) {
    let store = engine.store().await;
    let id = store.tag_state(&image(BUSYBOX)).await.unwrap().unwrap();
    assert_eq!(store.remove_untagged(&id).await.unwrap_err().0.code, "not-baked");
}

async fn an_image_pushed_to_two_repositories_is_removed(engine: Engine) {
    let registry = variable("SECRETBAKE_TEST_REGISTRY");
    let store = engine.store().await;
    let tags = [engine.name("first"), engine.name("second")].map(|name| format!("{registry}/{name}"));
    tags.iter().for_each(|tag| engine.remove_later(tag));
    let names = [image(&tags[0]), image(&tags[1])];
    let base = read(&store, &image(BUSYBOX), None).await.unwrap();
    let old = append(&base, &tags[0]);
    let id = put(&store, &old, &[&names[0], &names[1]]).await.unwrap().identity;
    for tag in &tags {
        engine.text(&["push", tag]);
    }
    put(&store, &append(&base, &tags[1]), &[&names[0], &names[1]]).await.unwrap();
    store.remove_untagged(&id).await.unwrap();
    assert!(!engine.try_cli(&["image", "inspect", id.as_str()]).status.success());
    assert_eq!(engine.shell(&tags[0], "cat /baked/value"), tags[1]);
}
