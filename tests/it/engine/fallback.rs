//! The commit of a container, where an engine does not take new layers by themselves.

use secretbake::runtime::unfinished::Unfinished;
use secretbake::store::ImageStore as _;
use secretbake::store::engine::{Endpoint, EngineStore, Limits};

use super::{BUSYBOX, image};
use crate::support::append::append;
use crate::support::engine::Engine;
use crate::support::engine_proxy::{Proxy, Reply};

in_each_engine!(an_image_is_committed_with_its_config);

async fn an_image_is_committed_with_its_config(engine: Engine) {
    let tags = [engine.name("committed"), engine.name("committed")];
    let refuse = |asked: &str| {
        let reply = Reply::Say(200, r#"{"errorDetail":{"message":"all blobs must be present"}}"#);
        (asked == "POST /images/load").then_some(reply)
    };
    let cache = tempfile::tempdir().unwrap();
    let base = engine.cached(cache.path().into()).await.base(&image(BUSYBOX), None).await.unwrap();
    let proxy = Proxy::start(Some(&engine.host), refuse);
    let endpoint = Endpoint::parse(&proxy.host(), None).unwrap();
    let store = EngineStore::connect(&endpoint, Some(cache.path().into()), Limits::default(), Unfinished::default())
        .await
        .unwrap();
    assert!(store.base(&image(BUSYBOX), None).await.unwrap().config == base.config);
    let names = tags.clone().map(|tag| image(&tag));
    let written = store.write(&append(&base, "committed"), &[&names[0], &names[1]]).await;
    if engine.is_podman() {
        // its commit would not take the config
        assert_eq!(written.unwrap_err().0.causes, ["it said: all blobs must be present"]);
        assert_eq!(store.current(&names[0]).await.unwrap(), None);
        return;
    }
    let written = written.unwrap();
    assert_eq!(written.warnings.len(), 1);
    assert_eq!(engine.field(&tags[0], ".Id"), written.identity.unwrap().as_str());
    assert_eq!(written.warnings[0].code, "engine-commit");
    assert_eq!(written.warnings[0].causes, ["all blobs must be present"]);
    for tag in &tags {
        assert_eq!(engine.shell(tag, "cat /baked/value; echo $FROM_BASE"), "committedkept");
        let labels = engine.field(tag, ".Config.Labels");
        assert_eq!(
            labels,
            serde_json::json!({ "org.example.base": "busybox", "dev.secretbake.provenance": r#"{"version":1}"# })
        );
    }
}
