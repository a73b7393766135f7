//! The number of requests per bake.

use secretbake::runtime::unfinished::Unfinished;

use secretbake::image::tree::PathQuery;
use secretbake::store::ImageStore as _;
use secretbake::store::engine::{Endpoint, EngineStore, Timeouts};

use serde_json::json;

use super::{BUSYBOX, image, put, read};
use crate::support::append::append;
use crate::support::engine::Engine;
use crate::support::engine_proxy::Proxy;
use crate::support::image::TestImage;
use crate::support::project::Project;

in_engine!(only_overlay2, overlay2: overlay2_needs_six_requests);
in_engine!(only_containerd, containerd: the_containerd_store_needs_five_requests);
in_engine!(only_podman, podman: podman_needs_five_requests);
in_each_engine!(a_rebake_asks_what_a_bake_asks);

/// Bakes twice with one cache and returns the requests of each bake, with placeholders for names and digests.
async fn requests_of_two_bakes(engine: &Engine) -> [Vec<String>; 2] {
    let tags = [engine.name("count"), engine.name("count")];
    let cache = tempfile::tempdir().unwrap();
    let proxy = Proxy::start(Some(&engine.host), |_| None);
    let mut asked = Vec::new();
    for tag in &tags {
        let endpoint = Endpoint::parse(&proxy.host(), None).unwrap();
        let store =
            EngineStore::connect(&endpoint, Some(cache.path().into()), Timeouts::default(), Unfinished::default())
                .await
                .unwrap();
        let base = read(&store, &image(BUSYBOX), None).await.unwrap();
        let paths = PathQuery::for_needed(["/bin", "/absent"]);
        store.look_up(&image(BUSYBOX), &base, &paths).await.unwrap();
        let baked = append(&base, tag);
        let id = put(&store, &baked, &[&image(tag)]).await.unwrap().identity;
        asked.push(
            proxy
                .asked()
                .into_iter()
                .map(|line| {
                    let line = line.replace(BUSYBOX, "BASE").replace(tag, "TAG").replace(id.as_str(), "NEW");
                    let line = line.replace(base.digest.as_ref().unwrap().as_str(), "BASEID");
                    let parts = line.split('/').map(|part| match part {
                        _ if part.starts_with("secretbake-temporary-") => "CONTAINER",
                        _ if part.starts_with("secretbake-alias:") => "ALIAS",
                        part => part,
                    });
                    parts.collect::<Vec<_>>().join("/")
                })
                .collect(),
        );
    }
    asked.try_into().unwrap()
}

const ENTRIES: [&str; 6] = [
    "GET /containers/json",
    "POST /containers/create",
    "HEAD /containers/CONTAINER/archive",
    "HEAD /containers/CONTAINER/archive",
    "GET /containers/CONTAINER/archive",
    "DELETE /containers/CONTAINER",
];

async fn overlay2_needs_six_requests(engine: Engine) {
    let [cold, warm] = requests_of_two_bakes(&engine).await;
    let base = ["GET /_ping", "GET /images/BASE/json", "GET /images/BASEID/history"];
    let write = ["GET /images/TAG/json", "POST /images/load", "GET /images/NEW/json"];
    assert_eq!(cold, [&base[..], &ENTRIES, &write].concat());
    assert_eq!(warm, [base, write].concat());
}

async fn the_containerd_store_needs_five_requests(engine: Engine) {
    let [cold, warm] = requests_of_two_bakes(&engine).await;
    let base = ["GET /_ping", "GET /images/BASE/json"];
    let alias = ["POST /images/load", "GET /images/ALIAS/get", "DELETE /images/ALIAS"];
    let write = ["GET /images/TAG/json", "POST /images/load", "GET /images/NEW/json"];
    assert_eq!(cold, [&base[..], &["GET /images/json"], &alias, &alias, &ENTRIES, &write].concat());
    assert_eq!(warm, [&base[..], &write].concat());
}

async fn podman_needs_five_requests(engine: Engine) {
    let [cold, warm] = requests_of_two_bakes(&engine).await;
    let base = ["GET /_ping", "GET /libpod/images/BASE/json"];
    let entries = ENTRIES
        .map(|line| if line.starts_with("GET /containers/C") { "GET /containers/CONTAINER/export" } else { line });
    let write = ["GET /libpod/images/TAG/json", "POST /images/load", "GET /libpod/images/NEW/json"];
    assert_eq!(cold, [&base[..], &entries, &write].concat());
    assert_eq!(warm, [&base[..], &write].concat());
}

/// Compares with a bake whose base is not in the cache, since no config of a baked image is kept there.
async fn a_rebake_asks_what_a_bake_asks(engine: Engine) {
    let proxy = Proxy::start(Some(&engine.host), |_| None);
    let (base, tag) = (engine.load(&TestImage::busybox(json!({ "Cmd": ["/bin/sh"] }))), engine.name("rebake-count"));
    let project = Project::with_file("  token: canary-1\n").variable("DOCKER_HOST", &proxy.host());
    project.write(
        "deploy.yaml",
        &format!(
            "version: 1\nimage: {{ base: '{}', owner: '0:0', tags: ['{tag}'] }}\nenv: {{ TOKEN: {{ secret: token }} }}\n",
            base.name
        ),
    );
    let requests = async |value: &'static str, arguments: &[&str]| {
        project.write("secrets.yaml", &format!("version: 1\nsecrets:\n  token: {value}\n"));
        let _ = std::fs::remove_dir_all(project.cache());
        proxy.asked();
        let mut command = project.command(arguments);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let kind = |line: String| {
            let parts = line.split('/').map(|part| match part {
                _ if part.starts_with("secretbake-alias:") => "ALIAS",
                // names and digests
                _ if part.contains(':') || part.starts_with("sb") => "NAME",
                part => part,
            });
            parts.collect::<Vec<_>>().join("/").replace("NAME/NAME", "NAME")
        };
        proxy.asked().into_iter().map(kind).collect::<Vec<_>>()
    };
    requests("canary-1", &["bake", "deploy.yaml"]).await;
    let bake = requests("canary-2", &["bake", "deploy.yaml"]).await;
    let rebake = requests("canary-3", &["rebake", &tag]).await;
    assert_eq!(rebake, bake);
    assert!(bake.contains(&"POST /images/load".to_owned()), "{bake:?}");
}
