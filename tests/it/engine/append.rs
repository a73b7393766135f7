//! Adding a layer to busybox in each engine.

use secretbake::image::config::Config;
use secretbake::image::{Base, media};
use secretbake::store::{ImageStore as _, Put};

use super::{BUSYBOX, image, put, read};
use crate::support::append::append;
use crate::support::engine::Engine;

in_each_engine!(
    a_layer_is_added_and_the_image_runs,
    two_writes_give_the_same_id,
    a_missing_base_is_named,
    an_image_from_scratch_has_the_new_layers_only
);

async fn a_layer_is_added_and_the_image_runs(engine: Engine) {
    let store = engine.store().await;
    let tags = [engine.name("added"), engine.name("added")];
    let base = read(&store, &image(BUSYBOX), None).await.unwrap();
    let baked = append(&base, "first");
    let names = tags.clone().map(|tag| image(&tag));
    assert_eq!(store.tag_state(&names[0]).await.unwrap(), None);
    let written = put(&store, &baked, &[&names[0], &names[1]]).await.unwrap();
    assert!(written.changed && written.warnings.is_empty() && written.displaced.is_empty());
    let again = put(&store, &baked, &[&names[0], &names[1]]).await.unwrap();
    assert_eq!(again, Put { changed: false, ..written.clone() });
    for (tag, name) in tags.iter().zip(&names) {
        assert_eq!(store.tag_state(name).await.unwrap(), Some(written.identity.clone()));
        assert_eq!(engine.field(tag, ".Id"), written.identity.as_str());
        assert_eq!(engine.shell(tag, "cat /baked/value; echo $FROM_BASE"), "firstkept");
    }
}

async fn two_writes_give_the_same_id(engine: Engine) {
    let mut ids = Vec::new();
    for _ in 0..2 {
        let store = engine.store().await;
        let tag = engine.name("same");
        let base = read(&store, &image(BUSYBOX), None).await.unwrap();
        put(&store, &append(&base, "same"), &[&image(&tag)]).await.unwrap();
        ids.push(engine.field(&tag, ".Id"));
    }
    assert_eq!(ids[0], ids[1]);
}

async fn a_missing_base_is_named(engine: Engine) {
    let store = engine.store().await;
    let error = read(&store, &image("sbengine/absent:1"), None).await.err().unwrap();
    assert_eq!(error.0.what, "image not found: sbengine/absent:1");
    assert_eq!(error.0.hints[0], "docker pull sbengine/absent:1");
}

async fn an_image_from_scratch_has_the_new_layers_only(engine: Engine) {
    let store = engine.store().await;
    let tag = engine.name("scratch");
    let base = Base {
        digest: None,
        index: None,
        manifest: format!(
            r#"{{"schemaVersion":2,"mediaType":"{0}","config":{{"mediaType":"{1}"}},"layers":[]}}"#,
            media::OCI_MANIFEST,
            media::OCI_CONFIG
        )
        .into_bytes(),
        config: Config::parse(
            br#"{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":[]}}"#.to_vec(),
        )
        .unwrap(),
    };
    // without a base, the store must detect the engine's kind from the tag or from `/info`
    assert_eq!(store.tag_state(&image(&tag)).await.unwrap(), None);
    let baked = append(&base, "scratch");
    let written = put(&store, &baked, &[&image(&tag)]).await.unwrap();
    assert_eq!(engine.field(&tag, ".Id"), written.identity.as_str());
    assert_eq!(engine.field(&tag, ".RootFS.Layers"), serde_json::json!([baked.diff_ids[0].as_str()]));
}
