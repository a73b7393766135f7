//! Engines that fail to answer, and the errors that they cause.

use secretbake::runtime::unfinished::Unfinished;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use secretbake::store::StoreError;
use secretbake::store::engine::{Endpoint, EngineStore, Timeouts};

use super::{BUSYBOX, image, put, read};
use crate::support::append::append;
use crate::support::engine::Engine;
use crate::support::engine_proxy::{Proxy, Reply};

async fn connect(host: &str, limits: Timeouts) -> Result<EngineStore, StoreError> {
    EngineStore::connect(&Endpoint::parse(host, None).unwrap(), None, limits, Unfinished::default()).await
}

async fn code(host: &str) -> &'static str {
    let seconds = Duration::from_millis(300);
    let limits = Timeouts { connect: seconds, answer: seconds, load: seconds };
    connect(host, limits).await.err().map_or("connected", |error| error.0.code)
}

#[tokio::test]
async fn each_failed_connection_has_its_own_error() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| format!("unix://{}/{name}", directory.path().display());
    assert_eq!(code(&path("absent.sock")).await, "engine-not-running");
    drop(std::os::unix::net::UnixListener::bind(directory.path().join("dead.sock")).unwrap());
    assert_eq!(code(&path("dead.sock")).await, "engine-not-running");
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert_eq!(code(&format!("tcp://{free}")).await, "engine-not-running");

    let page = Proxy::start(None, |_| Some(Reply::Say(404, "<html>")));
    assert_eq!(code(&page.host()).await, "not-an-engine");
    let silent = Proxy::start(None, |_| Some(Reply::Silence));
    assert_eq!(code(&silent.host()).await, "engine-timeout");
    let noise = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = noise.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = noise.accept().unwrap();
        drop(std::io::Read::read(&mut stream, &mut [0; 1024]));
        drop(std::io::Write::write_all(&mut stream, b"SSH-2.0-OpenSSH_9.9\r\n"));
        std::thread::sleep(Duration::from_secs(1));
    });
    assert_eq!(code(&format!("tcp://{address}")).await, "not-an-engine");
}

/// Bakes through a stub that answers the load. Returns the error's code and text, and whether the tag is unchanged.
async fn load_fails_with(reply: Reply) -> (String, bool) {
    let engine = Engine::docker();
    let tag = engine.name("faulty");
    engine.text(&["tag", BUSYBOX, &tag]);
    let before = engine.field(&tag, ".Id");
    let proxy = Proxy::start(Some(&engine.host), move |asked| (asked == "POST /images/load").then(|| reply.clone()));
    let limits = Timeouts { load: Duration::from_millis(500), ..Timeouts::default() };
    let store = connect(&proxy.host(), limits).await.unwrap();
    let base = read(&store, &image(BUSYBOX), None).await.unwrap();
    let error = put(&store, &append(&base, "hidden value"), &[&image(&tag)]).await.unwrap_err();
    let text = format!("{} {}", error.0.code, error.0);
    assert!(!text.contains("hidden value"));
    for line in proxy.asked() {
        if let Some(container) = line.strip_prefix("DELETE /containers/") {
            assert!(!engine.try_cli(&["inspect", container]).status.success(), "{line}");
        }
    }
    (text, engine.field(&tag, ".Id") == before)
}

in_engine!(only_podman, podman: a_tag_that_fails_restores_the_others);

async fn a_tag_that_fails_restores_the_others(engine: Engine) {
    let tags = [engine.name("taken-back"), engine.name("taken-back")];
    engine.text(&["tag", BUSYBOX, &tags[0]]);
    let before = engine.field(&tags[0], ".Id");
    // Podman gets one tag with the load and the other in a second request
    let refused = AtomicBool::new(false);
    let proxy = Proxy::start(Some(&engine.host), move |asked| match asked {
        _ if asked.ends_with("/tag") && !refused.swap(true, Ordering::Relaxed) => {
            Some(Reply::Say(500, r#"{"message":"no tag"}"#))
        }
        _ => None,
    });
    let cache = tempfile::tempdir().unwrap();
    let base = read(&engine.cached(cache.path().into()).await, &image(BUSYBOX), None).await.unwrap();
    let endpoint = Endpoint::parse(&proxy.host(), None).unwrap();
    let store = EngineStore::connect(&endpoint, Some(cache.path().into()), Timeouts::default(), Unfinished::default());
    let store = store.await.unwrap();
    read(&store, &image(BUSYBOX), None).await.unwrap();
    let names = tags.clone().map(|tag| image(&tag));
    let baked = append(&base, "taken back");
    let error = put(&store, &baked, &[&names[0], &names[1]]).await.err().unwrap();
    assert!(error.0.to_string().contains("no tag"), "{}", error.0);
    assert_eq!(engine.field(&tags[0], ".Id"), before);
    for gone in [tags[1].as_str(), baked.config_digest().as_str()] {
        assert!(!engine.try_cli(&["image", "inspect", gone]).status.success(), "{gone} was not removed");
    }
}

#[tokio::test]
async fn a_failed_load_is_an_error_and_keeps_the_tags() {
    let cases = [
        (Reply::Break(r#"{"stream":"Loa"#), "engine-connection"),
        (Reply::Silence, "engine-timeout"),
        (Reply::Say(200, r#"{"errorDetail":{"message":"write /x: no space left on device"}}"#), "engine-disk-full"),
        (Reply::Say(500, r#"{"message":"write /x: no space left on device"}"#), "engine-disk-full"),
        (Reply::Say(200, r#"{"errorDetail":{"message":"bad layer"},"error":"bad layer"}"#), "engine-refused"),
        (Reply::Say(200, "Error unpacking image x\n"), "engine-mismatch"),
        (Reply::Say(200, ""), "engine-mismatch"),
    ];
    for (reply, code) in cases {
        let (text, stands) = load_fails_with(reply).await;
        assert!(text.starts_with(code), "{text}");
        assert!(stands, "{code}");
    }
}
