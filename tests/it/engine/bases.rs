//! Bases with configs, layers and platforms that a bake must keep.

use secretbake::image::config::Config;
use secretbake::image::digest::Digest;
use secretbake::image::platform::Platform;
use secretbake::image::{Base, Image, media};
use secretbake::runtime::unfinished::Unfinished;
use secretbake::store::ImageStore as _;
use secretbake::store::engine::{Endpoint, EngineStore, Timeouts};
use serde_json::{Value, json};

use super::{BUSYBOX, image, put, read};
use crate::support::append::append;
use crate::support::engine::Engine;
use crate::support::engine_proxy::Proxy;
use crate::support::oci_base::{Oci, blob, busybox_layer, directory, feed, oci_archive, tar_of};
use crate::support::variable;

in_engine!(only_containerd, containerd: the_containerd_store_keeps_descriptors_and_unknown_fields, the_containerd_store_has_several_platforms, an_incomplete_base_is_an_error);
in_engine!(only_podman, podman: podman_keeps_shell_and_onbuild_that_it_does_not_show, podman_keeps_the_health_check_of_a_docker_image);

in_each_engine!(
    the_config_is_kept_key_for_key,
    a_base_is_found_by_each_of_its_names,
    the_image_can_be_saved_and_pushed
);

/// Returns a config with every field that an engine supports.
fn full_config() -> Value {
    json!({
        "architecture": "amd64",
        "os": "linux",
        "created": "2024-01-01T00:00:00.5Z",
        "author": "someone <a@b>",
        "config": {
            "User": "1000:1000",
            "ExposedPorts": { "80/tcp": {}, "53/udp": {} },
            "Env": ["PATH=/bin", "B=2", "A=$x \"1\""],
            "Entrypoint": ["sh", "-c"],
            "Cmd": ["echo \"$A\""],
            "Volumes": { "/data": {} },
            "WorkingDir": "/srv",
            "Labels": { "z": "1", "a": "<&>" },
            "StopSignal": "SIGUSR1",
            "Healthcheck": { "Test": ["CMD-SHELL", "true"], "Interval": 30_000_000_000_u64, "Retries": 3 },
            "OnBuild": ["RUN x"],
            "Shell": ["sh", "-ec"],
        },
        "history": [
            { "created": "2024-01-01T00:00:00Z", "created_by": "COPY x" },
            { "created": "2024-01-01T00:00:01Z", "created_by": "CMD [\"x\"]", "empty_layer": true },
        ],
    })
}

fn load(engine: &Engine, images: &[Oci<'_>]) -> (String, Vec<u8>, Vec<u8>) {
    let name = engine.name("base");
    let (archive, manifest, config) = oci_archive(&name, images);
    feed(engine, &["load"], &archive);
    (name, manifest, config)
}

async fn the_config_is_kept_key_for_key(engine: Engine) {
    let layers = [blob(busybox_layer(&engine), "")];
    let (name, ..) = load(&engine, &[Oci { config: full_config(), layers: &layers, manifest: json!({}) }]);
    let store = engine.store().await;
    let base = read(&store, &image(&name), None).await.unwrap();
    let tag = engine.name("kept");
    put(&store, &append(&base, "kept"), &[&image(&tag)]).await.unwrap();
    let config = |name: &str| {
        let mut config = engine.field(name, ".Config");
        config["Labels"].as_object_mut().unwrap().remove("dev.secretbake.provenance");
        config
    };
    assert_eq!(config(&tag), config(&name));
    for field in [".Author", ".Architecture", ".Os"] {
        assert_eq!(engine.field(&tag, field), engine.field(&name, field), "{field}");
    }
    let history =
        |name: &str| engine.text(&["history", "--no-trunc", "--format", "{{.CreatedBy}}|{{.CreatedAt}}", name]);
    let (old, new) = (history(&name), history(&tag));
    assert!(new.ends_with(&old) && new.lines().count() == old.lines().count() + 1, "{new}\n{old}");
    // reading it again returns the same bytes
    assert!(read(&store, &image(&name), None).await.unwrap().config.bytes() == base.config.bytes());
}

async fn a_base_is_found_by_each_of_its_names(engine: Engine) {
    let store = engine.store().await;
    let id = engine.field(BUSYBOX, ".Id").as_str().unwrap().to_owned();
    let digest = engine.field(BUSYBOX, ".RepoDigests")[0].as_str().map(str::to_owned);
    let short = id["sha256:".len()..][..12].to_owned();
    let full = if engine.is_podman() { format!("localhost/{BUSYBOX}") } else { format!("docker.io/{BUSYBOX}") };
    let expected = read(&store, &image(BUSYBOX), None).await.unwrap();
    for name in [Some(id), Some(short), Some(full), digest].into_iter().flatten() {
        let base = read(&store, &image(&name), None).await.unwrap_or_else(|error| panic!("{name}: {}", error.0));
        assert!(base.digest == expected.digest && base.config.bytes() == expected.config.bytes(), "{name}");
    }
    let other = Platform::parse("linux/s390x").unwrap();
    let error = read(&store, &image(BUSYBOX), Some(&other)).await.err().unwrap();
    assert_eq!(error.0.code, "base-platform");
}

async fn the_image_can_be_saved_and_pushed(engine: Engine) {
    let registry = variable("SECRETBAKE_TEST_REGISTRY");
    let store = engine.store().await;
    let base = read(&store, &image(BUSYBOX), None).await.unwrap();
    let tag = format!("{registry}/{}", engine.name("pushed"));
    engine.remove_later(&tag);
    // a layer that no other test uses
    put(&store, &append(&base, &tag), &[&image(&tag)]).await.unwrap();
    engine.text(&["push", &tag]);
    let file = tempfile::NamedTempFile::new().unwrap();
    engine.text(&["save", "-o", file.path().to_str().unwrap(), &tag]);
    for other in Engine::all().into_iter().filter(|other| other.host != engine.host) {
        other.remove_later(&tag);
        other.text(&["load", "-i", file.path().to_str().unwrap()]);
        assert_eq!(other.shell(&tag, "cat /baked/value"), tag, "{}", other.name);
        other.text(&["rmi", &tag]);
        other.text(&["pull", &tag]);
        assert_eq!(other.shell(&tag, "cat /baked/value"), tag, "{}", other.name);
    }
}

async fn the_containerd_store_keeps_descriptors_and_unknown_fields(engine: Engine) {
    let registry = variable("SECRETBAKE_TEST_REGISTRY");
    let mut config = full_config();
    config["config"]["User"] = json!("");
    config["x-future"] = json!({ "b": 1.10, "a": [null] });
    let empty = || tar_of(&[directory("work/", 0, 0, 0o755, 1)]);
    let layers = [
        blob(busybox_layer(&engine), "gzip"),
        blob(tar_of(&[directory("z/", 1, 1, 0o755, 1)]), "zstd"),
        blob(empty(), ""),
    ];
    config["history"] = json!([{}, {}, {}]);
    let manifest = json!({ "annotations": { "kept": "yes" }, "x-future": 1 });
    let (name, manifest, config) = load(&engine, &[Oci { config, layers: &layers, manifest }]);
    let cache = tempfile::tempdir().unwrap();
    let store = engine.cached(cache.path().into()).await;
    let base = read(&store, &image(&name), None).await.unwrap();
    assert_eq!(String::from_utf8(base.manifest.clone()), String::from_utf8(manifest));
    assert_eq!(String::from_utf8(base.config.bytes().to_vec()), String::from_utf8(config));
    let tag = format!("{registry}/{}", engine.name("zstd"));
    engine.remove_later(&tag);
    put(&store, &append(&base, "zstd"), &[&image(&tag)]).await.unwrap();
    assert_eq!(engine.text(&["run", "--rm", "--network", "none", &tag, "cat /baked/value"]), "zstd");
    engine.text(&["push", &tag]);
    // bakes of other tests have aliases for a moment too
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !engine.text(&["images", "-q", "secretbake-alias"]).is_empty() {
        assert!(std::time::Instant::now() < deadline, "an alias was not removed");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    // a damaged cache does not change the result
    for entry in std::fs::read_dir(cache.path().join("blobs")).unwrap() {
        std::fs::write(entry.unwrap().path(), "damage").unwrap();
    }
    let again = read(&engine.cached(cache.path().into()).await, &image(&name), None).await.unwrap();
    assert!(again.manifest == base.manifest && again.config.bytes() == base.config.bytes());
}

async fn the_containerd_store_has_several_platforms(engine: Engine) {
    let config = |architecture: &str| json!({ "architecture": architecture, "os": "linux", "config": { "Labels": { "for": architecture }, "Cmd": ["sh"] } });
    let layers = [blob(busybox_layer(&engine), "gzip")];
    let other = [blob(tar_of(&[directory("etc/", 0, 0, 0o700, 5)]), "gzip")];
    let images = ["arm64", "amd64"].map(|name| Oci {
        config: config(name),
        layers: if name == "amd64" { &layers } else { &other[..] },
        manifest: json!({}),
    });
    let (name, ..) = load(&engine, &images);
    let store = engine.store().await;
    for (platform, architecture) in [(None, "amd64"), (Some("linux/arm64"), "arm64"), (Some("linux/amd64"), "amd64")] {
        let platform = platform.and_then(Platform::parse);
        let base = read(&store, &image(&name), platform.as_ref()).await.unwrap();
        let config: Value = serde_json::from_slice(base.config.bytes()).unwrap();
        assert_eq!(config["config"]["Labels"]["for"], architecture);
        let paths = secretbake::image::tree::PathQuery::for_needed(["/bin"]);
        let tree = store.look_up(&image(&name), &base, &paths).await.unwrap();
        assert_eq!(tree["/bin"] == secretbake::image::tree::Entry::Absent, architecture == "arm64");
        let tag = engine.name("platform");
        let baked = append(&base, "platform");
        let written = put(&store, &baked, &[&image(&tag)]).await.unwrap();
        assert_eq!(written.warnings, [], "{architecture}");
        assert_eq!(engine.field(&tag, ".Architecture"), architecture);
        assert_eq!(
            store.tag_state(&image(&tag)).await.unwrap(),
            Some(written.identity),
            "the next bake changes nothing"
        );
    }
    let error = read(&store, &image(&name), Platform::parse("linux/s390x").as_ref()).await.err().unwrap();
    assert_eq!(error.0.causes, ["available platforms: linux/arm64, linux/amd64"]);
}

async fn podman_keeps_shell_and_onbuild_that_it_does_not_show(engine: Engine) {
    let mut config = full_config();
    config["x-future"] = json!({ "b": 1, "a": [null] });
    config["history"][1]["created_by"] = json!("/bin/sh -c #(nop)  SHELL [sh -ec]");
    let layers = [blob(busybox_layer(&engine), "")];
    let (name, _, config) = load(&engine, &[Oci { config, layers: &layers, manifest: json!({}) }]);
    let cache = tempfile::tempdir().unwrap();
    let tag = engine.name("shell");
    let proxy = Proxy::start(Some(&engine.host), |_| None);
    let endpoint = Endpoint::parse(&proxy.host(), None).unwrap();
    for asks in [true, false] {
        let store =
            EngineStore::connect(&endpoint, Some(cache.path().into()), Timeouts::default(), Unfinished::default());
        let store = store.await.unwrap();
        let base = read(&store, &image(&name), None).await.unwrap();
        assert_eq!(String::from_utf8(base.config.bytes().to_vec()), String::from_utf8(config.clone()));
        assert_eq!(proxy.asked().iter().any(|asked| asked.ends_with("/get")), asks, "it is read once");
        put(&store, &append(&base, "shell"), &[&image(&tag)]).await.unwrap();
    }
    let baked = read(&engine.store().await, &image(&tag), None).await.unwrap();
    let baked: Value = serde_json::from_slice(baked.config.bytes()).unwrap();
    for field in ["Shell", "OnBuild"] {
        assert_eq!(baked["config"][field], full_config()["config"][field]);
    }
    assert_eq!(baked["x-future"], json!({ "b": 1, "a": [null] }));
}

async fn podman_keeps_the_health_check_of_a_docker_image(podman: Engine) {
    let docker = Engine::docker();
    let registry = variable("SECRETBAKE_TEST_REGISTRY");
    let layers = [blob(busybox_layer(&docker), "")];
    let (name, ..) = load(&docker, &[Oci { config: full_config(), layers: &layers, manifest: json!({}) }]);
    let shared = format!("{registry}/{name}");
    docker.remove_later(&shared);
    podman.remove_later(&shared);
    docker.text(&["tag", &name, &shared]);
    docker.text(&["push", &shared]);
    podman.text(&["pull", &shared]);
    let store = podman.store().await;
    let tag = podman.name("health");
    let base = read(&store, &image(&shared), None).await.unwrap();
    put(&store, &append(&base, "health"), &[&image(&tag)]).await.unwrap();
    let baked = read(&store, &image(&tag), None).await.unwrap();
    let config: Value = serde_json::from_slice(baked.config.bytes()).unwrap();
    assert_eq!(config["config"]["Healthcheck"], full_config()["config"]["Healthcheck"]);
}

/// Returns an OCI archive that lacks the image's layers.
fn without_layers(image: &Image, name: &str) -> Vec<u8> {
    let manifest = Digest::of(&image.manifest);
    let index = json!({ "schemaVersion": 2, "manifests": [{
        "mediaType": media::OCI_MANIFEST, "digest": manifest.as_str(), "size": image.manifest.len(),
        "annotations": { "io.containerd.image.name": name },
    }] });
    let mut archive = tar::Builder::new(Vec::new());
    for (path, content) in [
        ("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.as_slice()),
        ("index.json".to_owned(), index.to_string().as_bytes()),
        (format!("blobs/sha256/{}", manifest.hex()), &image.manifest),
        (format!("blobs/sha256/{}", image.config_digest().hex()), image.config.expose()),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        archive.append_data(&mut header, path, content).unwrap();
    }
    archive.into_inner().unwrap()
}

async fn an_incomplete_base_is_an_error(engine: Engine) {
    let name = engine.name("partial");
    let base = Base {
        digest: None,
        index: None,
        manifest: format!(
            r#"{{"schemaVersion":2,"mediaType":"{}","config":{{"mediaType":"{}"}},"layers":[{{"mediaType":"{}","digest":"{}","size":9}}]}}"#,
            media::OCI_MANIFEST,
            media::OCI_CONFIG,
            media::OCI_LAYER,
            Digest::of(b"elsewhere")
        )
        .into_bytes(),
        config: Config::parse(
            format!(
                r#"{{"architecture":"amd64","os":"linux","config":{{"Labels":{{}}}},"rootfs":{{"type":"layers","diff_ids":["{}"]}}}}"#,
                Digest::of(b"elsewhere")
            )
            .into_bytes(),
        )
        .unwrap(),
    };
    let half = append(&base, "half");
    feed(&engine, &["load"], &without_layers(&half, &format!("docker.io/{name}")));
    let store = engine.store().await;
    assert_eq!(store.tag_state(&image(&name)).await.unwrap(), None, "it must be written again");
    let said = async |platform: Option<&str>| {
        let platform = platform.and_then(Platform::parse);
        read(&store, &image(&name), platform.as_ref()).await.err().unwrap().0.to_string()
    };
    assert_eq!(
        said(None).await,
        format!("error: the engine's copy of {name} is incomplete\n  hint: docker pull {name}")
    );
    assert_eq!(
        said(Some("linux/amd64")).await,
        format!(
            "error: the engine's copy of {name} for linux/amd64 is incomplete\n  \
             hint: docker pull --platform linux/amd64 {name}"
        )
    );
}
