//! What goes wrong on the wire, and how it is said.

use secretbake::runtime::unfinished::Unfinished;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use secretbake::store::engine::{Endpoint, EngineStore, Limits};
use secretbake::store::{ImageStore as _, StoreError};

use super::{BUSYBOX, image};
use crate::support::append::append;
use crate::support::engine::Engine;
use crate::support::engine_proxy::{Proxy, Reply};

async fn connect(host: &str, limits: Limits) -> Result<EngineStore, StoreError> {
    EngineStore::connect(&Endpoint::parse(host, None).unwrap(), None, limits, Unfinished::default()).await
}

async fn code(host: &str) -> &'static str {
    let seconds = Duration::from_millis(300);
    let limits = Limits { connect: seconds, answer: seconds, load: seconds };
    connect(host, limits).await.err().map_or("connected", |error| error.0.code)
}

#[tokio::test]
async fn an_engine_that_cannot_be_talked_to_says_why() {
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

/// Bakes through a stub that answers the load; returns the code, what is said, and whether the tag stands as before.
async fn load_fails_with(reply: Reply, also: Option<&'static str>) -> (String, bool) {
    let engine = Engine::docker();
    let tag = engine.name("faulty");
    engine.text(&["tag", BUSYBOX, &tag]);
    let before = engine.field(&tag, ".Id");
    let proxy = Proxy::start(Some(&engine.host), move |asked| {
        let refused =
            also.is_some_and(|also| asked.contains(also)).then_some(Reply::Say(500, r#"{"message":"also no"}"#));
        if asked == "POST /images/load" { Some(reply.clone()) } else { refused }
    });
    let limits = Limits { load: Duration::from_millis(500), ..Limits::default() };
    let store = connect(&proxy.host(), limits).await.unwrap();
    let base = store.base(&image(BUSYBOX), None).await.unwrap();
    let error = store.write(&append(&base, "hidden value"), &[&image(&tag)]).await.unwrap_err();
    let text = format!("{} {}", error.0.code, error.0);
    assert!(!text.contains("hidden value"));
    for line in proxy.asked() {
        if let Some(container) = line.strip_prefix("DELETE /containers/") {
            assert!(!engine.try_cli(&["inspect", container]).status.success(), "{line}");
        }
    }
    (text, engine.field(&tag, ".Id") == before)
}

in_each_engine!(a_tag_that_cannot_be_given_takes_back_the_others);

async fn a_tag_that_cannot_be_given_takes_back_the_others(engine: Engine) {
    let tags = [engine.name("taken-back"), engine.name("taken-back")];
    engine.text(&["tag", BUSYBOX, &tags[0]]);
    let before = engine.field(&tags[0], ".Id");
    // Podman is sent one tag with the load and the other by itself, as Docker is where it commits
    let (refused, is_podman) = (AtomicBool::new(false), engine.is_podman());
    let proxy = Proxy::start(Some(&engine.host), move |asked| match asked {
        "POST /images/load" if !is_podman => Some(Reply::Say(200, r#"{"errorDetail":{"message":"no"}}"#)),
        _ if asked.ends_with("/tag") && !refused.swap(true, Ordering::Relaxed) => {
            Some(Reply::Say(500, r#"{"message":"no tag"}"#))
        }
        _ => None,
    });
    let cache = tempfile::tempdir().unwrap();
    let base = engine.cached(cache.path().into()).await.base(&image(BUSYBOX), None).await.unwrap();
    let endpoint = Endpoint::parse(&proxy.host(), None).unwrap();
    let store = EngineStore::connect(&endpoint, Some(cache.path().into()), Limits::default(), Unfinished::default());
    let store = store.await.unwrap();
    store.base(&image(BUSYBOX), None).await.unwrap();
    let names = tags.clone().map(|tag| image(&tag));
    let baked = append(&base, "taken back");
    let error = store.write(&baked, &[&names[0], &names[1]]).await.err().unwrap();
    assert!(error.0.to_string().contains("no tag"), "{}", error.0);
    assert_eq!(engine.field(&tags[0], ".Id"), before);
    for gone in [tags[1].as_str(), store.identity(&baked).as_str()] {
        assert!(!engine.try_cli(&["image", "inspect", gone]).status.success(), "{gone} is left");
    }
}

#[tokio::test]
async fn a_load_that_fails_is_told_and_the_tags_stand() {
    let cases = [
        (Reply::Break(r#"{"stream":"Loa"#), None, "engine-connection"),
        (Reply::Silence, None, "engine-timeout"),
        (
            Reply::Say(200, r#"{"errorDetail":{"message":"write /x: no space left on device"}}"#),
            None,
            "engine-disk-full",
        ),
        (Reply::Say(500, r#"{"message":"write /x: no space left on device"}"#), None, "engine-disk-full"),
        (
            Reply::Say(200, r#"{"errorDetail":{"message":"bad layer"},"error":"bad layer"}"#),
            Some("/commit"),
            "engine-refused",
        ),
        (Reply::Say(200, "Error unpacking image x\n"), Some("/containers/create"), "engine-mismatch"),
        (Reply::Say(200, ""), Some("/archive"), "engine-mismatch"),
    ];
    for (reply, also, code) in cases {
        let (text, stands) = load_fails_with(reply, also).await;
        assert!(text.starts_with(code), "{text}");
        assert_eq!(text.contains("committing a container instead failed too"), also.is_some(), "{text}");
        assert!(stands, "{code}");
    }
}
