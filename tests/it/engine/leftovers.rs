//! Interrupted and killed runs: their temporary images and containers are removed.

use secretbake::runtime::unfinished::Unfinished;

use secretbake::image::digest::Digest;
use secretbake::image::tree::PathQuery;
use secretbake::store::ImageStore as _;
use secretbake::store::engine::{Endpoint, EngineStore, Timeouts};

use super::{BUSYBOX, image, read};
use crate::support::engine::Engine;
use crate::support::engine_proxy::{Proxy, Reply};
use crate::support::oci_base::{Oci, blob, feed, oci_archive};

in_engine!(only_containerd, containerd: an_alias_of_a_killed_run_is_removed);

in_each_engine!(an_interrupted_look_up_leaves_no_container, a_container_of_someone_else_stays_whatever_its_name);

async fn an_interrupted_look_up_leaves_no_container(engine: Engine) {
    let proxy = Proxy::start(Some(&engine.host), |asked| asked.starts_with("HEAD ").then_some(Reply::Silence));
    let endpoint = Endpoint::parse(&proxy.host(), None).unwrap();
    let pending = Unfinished::default();
    let store = EngineStore::connect(&endpoint, None, Timeouts::default(), pending.clone()).await.unwrap();
    let base = read(&store, &image(BUSYBOX), None).await.unwrap();
    let paths = PathQuery::for_needed(["/bin"]);
    let name = image(BUSYBOX);
    tokio::select! {
        _ = store.look_up(&name, &base, &paths) => panic!("the look-up was not interrupted"),
        () = proxy.held() => {}
    }
    pending.close();
    pending.finished().await;
    let asked = proxy.asked();
    let of = |method: &str| asked.iter().filter(|line| line.starts_with(method)).collect::<Vec<_>>();
    assert_eq!(of("HEAD ").len(), 1, "{asked:?}");
    let container = of("HEAD ")[0].split('/').nth(2).unwrap();
    // another test's container of a killed run may be removed along the way
    let own: Vec<&String> =
        of("DELETE /containers").into_iter().filter(|line| !line.contains("-1700000000-")).collect();
    assert_eq!(own, [&format!("DELETE /containers/{container}")]);
    assert!(!engine.try_cli(&["inspect", container]).status.success());
}

async fn an_alias_of_a_killed_run_is_removed(engine: Engine) {
    // from a run on another machine
    let leave = |second: u64| {
        let name = format!("secretbake-alias:0123456789ab-{second}-00000000-{}-1-0", std::process::id());
        let config = serde_json::json!({ "architecture": "amd64", "os": "linux", "author": name });
        let manifest = serde_json::json!({});
        let layers = [blob(vec![0; 1024], "")];
        let (archive, ..) = oci_archive(&format!("library/{name}"), &[Oci { config, layers: &layers, manifest }]);
        feed(&engine, &["load"], &archive);
        name
    };
    let old = leave(1_700_000_000);
    let new = leave(32_000_000_000);
    read(&engine.store().await, &image(BUSYBOX), None).await.unwrap();
    let there = |name: &str| engine.try_cli(&["image", "inspect", name]).status.success();
    let (is_old_there, is_new_there) = (there(&old), there(&new));
    engine.try_cli(&["rmi", &new]);
    assert_eq!((is_old_there, is_new_there), (false, true), "the alias of an active run stays");
}

async fn a_container_of_someone_else_stays_whatever_its_name(engine: Engine) {
    // each name has the ID of an old run on another machine
    let name = |number: usize| format!("secretbake-temporary-1700000000-00000000-{}-1-{number}", std::process::id());
    let make = |name: &str, label: &str| {
        engine.cli(&["create", "--network", "none", "--name", name, "--label", label, BUSYBOX, "sh"]);
    };
    make(&name(0), "mine=true");
    make(&name(1), "dev.secretbake.temporary=true");
    make(&name(2), "mine=true");
    // a note of each, like a killed run leaves it, or written by someone else
    let cache = tempfile::tempdir().unwrap();
    let place = Digest::of(engine.endpoint().to_string().as_bytes());
    let notes = cache.path().join("notes").join(place.hex());
    std::fs::create_dir_all(&notes).unwrap();
    for (number, text) in
        [name(1), name(2), BUSYBOX.to_owned(), "../images/secretbake-test/busybox:1".to_owned()].iter().enumerate()
    {
        std::fs::write(notes.join(format!(".secretbake-{number}.tmp")), text).unwrap();
    }
    let store = engine.cached(cache.path().into()).await;
    assert_eq!(std::fs::read_dir(&notes).unwrap().count(), 0, "a note was not removed");
    let there = |name: &str| engine.try_cli(&["container", "inspect", name]).status.success();
    let after_notes = [0, 1, 2].map(|number| there(&name(number)));
    // the first look-up removes abandoned containers that it finds by name
    make(&name(3), "dev.secretbake.temporary=true");
    let base = read(&store, &image(BUSYBOX), None).await.unwrap();
    store.look_up(&image(BUSYBOX), &base, &PathQuery::for_needed(["/bin"])).await.unwrap();
    let after_sweep = [0, 2, 3].map(|number| there(&name(number)));
    for number in 0..4 {
        engine.try_cli(&["rm", "-f", &name(number)]);
    }
    assert_eq!((after_notes, after_sweep), ([true, false, true], [true, true, false]), "{}", engine.name);
    assert!(engine.id(BUSYBOX).is_some());
}
