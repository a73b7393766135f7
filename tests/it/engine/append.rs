//! A layer on busybox, in each engine.

use secretbake::image::{Base, media};
use secretbake::store::ImageStore as _;

use super::{BUSYBOX, image};
use crate::support::append::append;
use crate::support::engine::Engine;

in_each_engine!(
    a_layer_is_added_and_the_image_runs,
    two_writes_give_the_same_id,
    a_base_that_is_not_there_is_named,
    an_image_from_scratch_has_the_new_layers_only
);

async fn a_layer_is_added_and_the_image_runs(engine: Engine) {
    let store = engine.store().await;
    let tags = [engine.name("added"), engine.name("added")];
    let base = store.base(&image(BUSYBOX), None).await.unwrap();
    let baked = append(&base, "first");
    let names = tags.clone().map(|tag| image(&tag));
    assert_eq!(store.current(&names[0]).await.unwrap(), None);
    let written = store.write(&baked, &[&names[0], &names[1]]).await.unwrap();
    assert_eq!(written.warnings, []);
    for (tag, name) in tags.iter().zip(&names) {
        assert_eq!(store.current(name).await.unwrap(), Some(store.identity(&baked)));
        assert_eq!(engine.field(tag, ".Id"), store.identity(&baked).as_str());
        assert_eq!(engine.shell(tag, "cat /baked/value; echo $FROM_BASE"), "firstkept");
    }
}

async fn two_writes_give_the_same_id(engine: Engine) {
    let mut ids = Vec::new();
    for _ in 0..2 {
        let store = engine.store().await;
        let tag = engine.name("same");
        let base = store.base(&image(BUSYBOX), None).await.unwrap();
        store.write(&append(&base, "same"), &[&image(&tag)]).await.unwrap();
        ids.push(engine.field(&tag, ".Id"));
    }
    assert_eq!(ids[0], ids[1]);
}

async fn a_base_that_is_not_there_is_named(engine: Engine) {
    let store = engine.store().await;
    let error = store.base(&image("sbengine/absent:1"), None).await.err().unwrap();
    assert_eq!(error.0.what, "image not found: sbengine/absent:1");
    assert_eq!(error.0.hints[0], "docker pull sbengine/absent:1");
}

async fn an_image_from_scratch_has_the_new_layers_only(engine: Engine) {
    let store = engine.store().await;
    let tag = engine.name("scratch");
    let base = Base {
        digest: None,
        manifest: format!(
            r#"{{"schemaVersion":2,"mediaType":"{0}","config":{{"mediaType":"{1}"}},"layers":[]}}"#,
            media::OCI_MANIFEST,
            media::OCI_CONFIG
        )
        .into_bytes(),
        config: br#"{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":[]}}"#
            .to_vec(),
    };
    // no base was read: the store learns what kind of engine it has from the tag, or asks
    assert_eq!(store.current(&image(&tag)).await.unwrap(), None);
    let baked = append(&base, "scratch");
    let id = store.identity(&baked);
    store.write(&baked, &[&image(&tag)]).await.unwrap();
    assert_eq!(engine.field(&tag, ".Id"), id.as_str());
    assert_eq!(engine.field(&tag, ".RootFS.Layers"), serde_json::json!([baked.diff_ids[0].as_str()]));
}
