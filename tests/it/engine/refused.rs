//! An engine that does not take new layers by themselves.

use secretbake::runtime::unfinished::Unfinished;
use secretbake::store::ImageStore as _;
use secretbake::store::engine::{Endpoint, EngineStore, Limits};

use super::{BUSYBOX, image, put, read};
use crate::support::append::append;
use crate::support::engine::Engine;
use crate::support::engine_proxy::{Proxy, Reply};

in_each_engine!(the_error_says_the_way_around);

async fn the_error_says_the_way_around(engine: Engine) {
    let tag = engine.name("refused");
    let proxy = Proxy::start(Some(&engine.host), |asked| {
        let reply = Reply::Say(200, r#"{"errorDetail":{"message":"all blobs must be present"}}"#);
        (asked == "POST /images/load").then_some(reply)
    });
    let cache = tempfile::tempdir().unwrap();
    // the containerd store loads a small image to read a base
    read(&engine.cached(cache.path().into()).await, &image(BUSYBOX), None).await.unwrap();
    let endpoint = Endpoint::parse(&proxy.host(), None).unwrap();
    let store = EngineStore::connect(&endpoint, Some(cache.path().into()), Limits::default(), Unfinished::default());
    let store = store.await.unwrap();
    let base = read(&store, &image(BUSYBOX), None).await.unwrap();
    let error = put(&store, &append(&base, "refused"), &[&image(&tag)]).await.unwrap_err();
    assert_eq!(
        error.0.to_string(),
        format!(
            "error: cannot write the image: the engine refused\n  \
             cause: it said: all blobs must be present\n  \
             hint: the engine's own log says more\n  \
             hint: if the engine does not take new layers by themselves, have all of them sent: \
             `docker save -o base.tar {BUSYBOX}`, then bake with --base docker-archive:base.tar"
        )
    );
    assert_eq!(store.tag_state(&image(&tag)).await.unwrap(), None);
    assert!(!proxy.asked().iter().any(|asked| asked.contains("/commit")), "{:?}", proxy.asked());
}
