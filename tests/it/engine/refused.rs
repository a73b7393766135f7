//! An engine that refuses a load with only the new layers.

use secretbake::runtime::unfinished::Unfinished;
use secretbake::store::ImageStore as _;
use secretbake::store::engine::{Endpoint, EngineStore, Timeouts};

use super::{BUSYBOX, image, put, read};
use crate::support::append::append;
use crate::support::engine::Engine;
use crate::support::engine_proxy::{Proxy, Reply};

in_each_engine!(the_error_shows_a_workaround);

async fn the_error_shows_a_workaround(engine: Engine) {
    let tag = engine.name("refused");
    let proxy = Proxy::start(Some(&engine.host), |asked| {
        let reply = Reply::Say(200, r#"{"errorDetail":{"message":"all blobs must be present"}}"#);
        (asked == "POST /images/load").then_some(reply)
    });
    let cache = tempfile::tempdir().unwrap();
    // with the containerd store, reading a base loads a small image
    read(&engine.cached(cache.path().into()).await, &image(BUSYBOX), None).await.unwrap();
    let endpoint = Endpoint::parse(&proxy.host(), None).unwrap();
    let store = EngineStore::connect(&endpoint, Some(cache.path().into()), Timeouts::default(), Unfinished::default());
    let store = store.await.unwrap();
    let base = read(&store, &image(BUSYBOX), None).await.unwrap();
    let error = put(&store, &append(&base, "refused"), &[&image(&tag)]).await.unwrap_err();
    assert_eq!(
        error.0.to_string(),
        format!(
            "error: cannot write the image: the engine refused\n  \
             cause: it said: all blobs must be present\n  \
             hint: see the engine's log for details\n  \
             hint: if the engine does not accept new layers alone, send it all layers: run \
             `docker save -o base.tar {BUSYBOX}`, then bake with --base docker-archive:base.tar"
        )
    );
    assert_eq!(store.tag_state(&image(&tag)).await.unwrap(), None);
    assert!(!proxy.asked().iter().any(|asked| asked.contains("/commit")), "{:?}", proxy.asked());
}
