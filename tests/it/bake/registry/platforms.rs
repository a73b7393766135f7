//! "One tag, two architectures": bases of several platforms.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::{SECRETS, registry, repository};
use crate::support::image::{TestImage, digest};
use crate::support::project::Project;
use crate::support::skopeo::{copy, raw, skopeo};
use crate::support::stub::{Reply, Stub};

const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// Returns a manifest whose variable is in the config, so that no launcher is needed.
fn manifest(base: &str, target: &str, inject: &str) -> String {
    format!(
        "version: 1\nimage:\n  base: \"{base}\"\n  tags: [\"{target}\"]\n  inject: {inject}\nenv:\n  TOKEN: {{ secret: token }}\n\
         files:\n  /app/key: {{ secret: token, owner: app }}\n"
    )
}

fn put_blob(layout: &Path, bytes: &[u8]) -> (String, usize) {
    let digest = digest(bytes);
    fs::write(layout.join("blobs/sha256").join(&digest["sha256:".len()..]), bytes).unwrap();
    (digest, bytes.len())
}

/// Writes the layout `multi` with an index `1` of amd64, arm64 and what a builder says of the first.
fn multi(project: &Project) {
    let layout = project.path("multi");
    let mut entries: Vec<Value> = Vec::new();
    for architecture in ["arm64", "amd64"] {
        let archive = project.path(architecture);
        let image = TestImage::empty(json!({ "Cmd": [architecture] })).for_architecture(architecture);
        let passwd = format!("app:x:{}:0::/:/\n", if architecture == "arm64" { 64 } else { 32 });
        image.directory("etc", 0o755, (0, 0)).file("etc/passwd", 0o644, passwd.as_bytes()).write("x:1", &archive);
        copy(&format!("docker-archive:{}", archive.display()), &format!("oci:{}:{architecture}", layout.display()));
    }
    let index: Value = serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
    for (entry, architecture) in index["manifests"].as_array().unwrap().iter().zip(["arm64", "amd64"]) {
        entries.push(json!({
            "annotations": { "of": architecture }, "mediaType": entry["mediaType"], "size": entry["size"],
            "digest": entry["digest"], "platform": { "os": "linux", "architecture": architecture, "x": 1 },
        }));
    }
    let config = put_blob(&layout, b"{}");
    let attestation = json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": config.0, "size": config.1 },
        "layers": [] });
    let attestation = put_blob(&layout, attestation.to_string().as_bytes());
    entries.push(json!({ "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": attestation.0,
        "size": attestation.1, "platform": { "os": "unknown", "architecture": "unknown" },
        "annotations": { "vnd.docker.reference.type": "attestation-manifest" } }));
    let index =
        json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries, "annotations": { "kept": "yes" } });
    let index = put_blob(&layout, index.to_string().as_bytes());
    let root = json!({ "schemaVersion": 2, "manifests": [{ "mediaType": OCI_INDEX, "digest": index.0, "size": index.1,
        "annotations": { "org.opencontainers.image.ref.name": "1" } }] });
    fs::write(layout.join("index.json"), root.to_string()).unwrap();
}

/// Expects every platform of an image to be baked, and returns its index.
fn is_baked(project: &Project, image: &str, media_type: &str) -> Value {
    let index: Value = serde_json::from_str(&raw(image)).unwrap();
    assert_eq!(index["mediaType"], media_type);
    let entries = index["manifests"].as_array().unwrap();
    assert_eq!(entries.len(), 2, "{index:#}");
    for (entry, architecture) in entries.iter().zip(["arm64", "amd64"]) {
        assert_eq!(entry["platform"]["architecture"], *architecture);
        // the config of each, by another tool, which proves digests and sizes on its way
        let folder = project.path(&format!("proof-{architecture}"));
        let _ = fs::remove_dir_all(&folder);
        let to = format!("dir:{}", folder.display());
        skopeo(&["--override-arch", architecture, "copy", "--quiet", "--src-tls-verify=false", image, &to]);
        let manifest: Value = serde_json::from_slice(&fs::read(folder.join("manifest.json")).unwrap()).unwrap();
        assert_eq!(digest(&fs::read(folder.join("manifest.json")).unwrap()), entry["digest"].as_str().unwrap());
        let blob = |descriptor: &Value| fs::read(folder.join(&descriptor["digest"].as_str().unwrap()[7..])).unwrap();
        let config: Value = serde_json::from_slice(&blob(&manifest["config"])).unwrap();
        assert_eq!(config["config"]["Cmd"][0], *architecture);
        assert!(config["config"]["Env"].as_array().unwrap().contains(&json!("TOKEN=canary")), "{config:#}");
        // the file belongs to the user of its own base
        let layer = blob(manifest["layers"].as_array().unwrap().last().unwrap());
        let mut layer = tar::Archive::new(flate2::read::GzDecoder::new(&layer[..]));
        let uids: Vec<u64> = layer.entries().unwrap().map(|entry| entry.unwrap().header().uid().unwrap()).collect();
        assert_eq!(uids.last(), Some(if *architecture == *"arm64" { &64 } else { &32 }));
    }
    index
}

#[test]
fn every_platform_is_baked_into_a_registry_a_layout_and_an_archive_alike() {
    let project = Project::with_file(SECRETS);
    multi(&project);
    let there = format!("docker://{}/{}", registry(), repository());
    let layout = format!("oci:{}:1", project.path("multi").display());
    copy(&layout, &format!("{there}:1"));
    let mut digests = BTreeSet::new();
    for (base, target) in [
        ("oci:multi:1", "oci:out:1"),
        ("oci:multi:1", "oci-archive:out.tar:1"),
        ("oci-archive:out-base.tar:1", "oci:again:1"),
        (&format!("{there}:1"), &format!("{there}:prod")),
        ("oci:multi:1", &format!("{there}/streamed:1")),
        (&format!("{there}:1"), &format!("{there}/mounted:1")),
        (&format!("{there}:1"), "oci:out2:1"),
    ] {
        if base.starts_with("oci-archive") {
            copy(&layout, &format!("oci-archive:{}:1", project.path("out-base.tar").display()));
        }
        project.write("deploy.yaml", &manifest(base, target, "config"));
        let ran = project.run(&["bake", "--all-platforms", "deploy.yaml"]);
        assert_eq!(ran.status, Some(0), "{base} to {target}: {}", ran.stderr);
        assert!(ran.stderr.contains("an attestation of "), "{}", ran.stderr);
        // an image says what its base was called, where others can pull it by that name
        digests.insert((base.starts_with("docker://"), ran.stdout.trim_end().rsplit_once('@').unwrap().1.to_owned()));
        let again = project.run(&["bake", "--all-platforms", "deploy.yaml"]);
        assert!(again.closing.starts_with("unchanged "), "{base} to {target}: {}", again.stderr);
        let image = match target.strip_prefix("oci") {
            Some(_) => {
                let (transport, rest) = target.split_once(':').unwrap();
                format!("{transport}:{}", project.path(rest).display())
            }
            None => target.to_owned(),
        };
        let index = is_baked(&project, &image, OCI_INDEX);
        assert_eq!(index["annotations"], json!({ "kept": "yes" }));
        assert_eq!(index["manifests"][0]["annotations"], json!({ "of": "arm64" }));
        assert_eq!(index["manifests"][0]["platform"]["x"], 1);
    }
    assert_eq!(digests.len(), 2, "{digests:?}");
}

#[test]
fn dockers_manifest_list_stays_one() {
    let project = Project::with_file(SECRETS);
    multi(&project);
    let there = format!("docker://{}/{}", registry(), repository());
    // skopeo makes Docker's types of both, and has no attestations then
    skopeo(&[
        "copy",
        "--quiet",
        "--all",
        "--format=v2s2",
        "--dest-tls-verify=false",
        &format!("oci:{}:1", project.path("multi").display()),
        &format!("{there}:1"),
    ]);
    project.write("deploy.yaml", &manifest(&format!("{there}:1"), &format!("{there}:prod"), "config"));
    let ran = project.run(&["bake", "--all-platforms", "deploy.yaml"]);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    let index: Value = serde_json::from_str(&raw(&format!("{there}:prod"))).unwrap();
    assert_eq!(index["mediaType"], DOCKER_LIST);
    assert_eq!(index["manifests"][0]["mediaType"], "application/vnd.docker.distribution.manifest.v2+json");
}

#[test]
fn one_platform_is_chosen_by_name_or_is_the_machines() {
    let project = Project::with_file(SECRETS);
    multi(&project);
    let there = format!("docker://{}/{}", registry(), repository());
    copy(&format!("oci:{}:1", project.path("multi").display()), &format!("{there}:1"));
    for (base, target) in [(format!("{there}:1"), format!("{there}:one")), ("oci:multi:1".into(), "oci:one:1".into())] {
        project.write("deploy.yaml", &manifest(&base, &target, "config"));
        let ran = project.run(&["bake", "--platform", "linux/arm64", "deploy.yaml"]);
        assert_eq!(ran.status, Some(0), "{}", ran.stderr);
        let ran = project.run(&["bake", "--platform", "linux/s390x", "deploy.yaml"]);
        assert!(ran.stderr.contains("has no image for linux/s390x"), "{}", ran.stderr);
        assert!(ran.stderr.contains("it has: linux/arm64, linux/amd64"), "{}", ran.stderr);
    }
    let config: Value = serde_json::from_str(&skopeo(&[
        "--override-arch=arm64",
        "inspect",
        "--config",
        "--tls-verify=false",
        &format!("{there}:one"),
    ]))
    .unwrap();
    assert_eq!((&config["architecture"], &config["config"]["Cmd"]), (&json!("arm64"), &json!(["arm64"])));
}

/// Puts the index of `multi` into another index.
fn nest(project: &Project) -> Value {
    let layout = project.path("multi");
    let root: Value = serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
    let mut entry = root["manifests"][0].clone();
    entry.as_object_mut().unwrap().remove("annotations");
    let outer = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry] });
    let outer = put_blob(&layout, outer.to_string().as_bytes());
    let root = json!({ "mediaType": OCI_INDEX, "digest": outer.0, "size": outer.1,
        "annotations": { "org.opencontainers.image.ref.name": "1" } });
    fs::write(layout.join("index.json"), json!({ "schemaVersion": 2, "manifests": [root] }).to_string()).unwrap();
    root
}

#[test]
fn an_index_within_an_index_is_the_same_from_a_layout_and_a_registry() {
    let project = Project::with_file(SECRETS);
    multi(&project);
    let root = nest(&project);
    let blobs = project.path("multi").join("blobs/sha256");
    // skopeo does not copy such an index
    let stub = Stub::by(move |_, request| {
        let asked = request.line.rsplit('/').next().unwrap();
        let digest = if asked == "1" { root["digest"].as_str().unwrap() } else { asked };
        let bytes = fs::read(blobs.join(digest.trim_start_matches("sha256:"))).unwrap();
        Reply::raw(200, OCI_INDEX, "").body(bytes)
    });
    let registry = format!("docker://{}/x:1", stub.host());
    for (index, base) in ["oci:multi:1", &registry].into_iter().enumerate() {
        let baked = |platforms: &[&str], target: &str| {
            project.write(
                "deploy.yaml",
                &manifest(base, target, "config")
                    .replace("files:\n", "")
                    .replace("  /app/key: { secret: token, owner: app }\n", ""),
            );
            let ran = project.run(&[&["bake", "deploy.yaml"], platforms].concat());
            assert_eq!(ran.status, Some(0), "{base}: {}", ran.stderr);
        };
        baked(&["--platform", "linux/arm64"], &format!("oci:one{index}:1"));
        baked(&["--all-platforms"], &format!("oci:all{index}:1"));
    }
    for layouts in ["one", "all"] {
        // but for what they say of their base's name
        let index = |number: u8| {
            let path = project.path(&format!("{layouts}{number}/index.json"));
            let mut index: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
            for entry in index["manifests"].as_array_mut().unwrap() {
                entry["digest"].take();
                entry["size"].take();
            }
            index
        };
        assert_eq!(index(0), index(1));
    }
    let all: Value = serde_json::from_str(&raw(&format!("oci:{}:1", project.path("all0").display()))).unwrap();
    let platforms: Vec<&Value> =
        all["manifests"].as_array().unwrap().iter().map(|entry| &entry["platform"]["architecture"]).collect();
    assert_eq!(platforms, ["arm64", "amd64"]);
}

#[test]
fn every_build_has_the_launchers_of_amd64_and_arm64() {
    let project = Project::with_file(SECRETS);
    multi(&project);
    project.write("deploy.yaml", &manifest("oci:multi:1", "oci:out:1", "launcher"));
    let ran = project.run(&["bake", "--all-platforms", "deploy.yaml"]);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);

    // a launcher that the user names is taken instead of the built-in one
    let mut program = fs::read("/proc/self/exe").unwrap()[..64].to_vec();
    program[18] = 183;
    fs::write(project.path("launch"), program).unwrap();
    let baked = ran.stdout;
    let ran = project.run(&["bake", "--all-platforms", "--launcher", "launch", "deploy.yaml"]);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    assert_ne!(ran.stdout, baked);
}

#[test]
fn a_platform_without_a_launcher_is_named_before_anything_is_written() {
    let project = Project::with_file(SECRETS);
    // scratch has no user to name
    project.write("deploy.yaml", &manifest("scratch", "oci:out:1", "launcher").replace(", owner: app", ""));
    let ran = project.run(&["bake", "--platform", "linux/riscv64", "deploy.yaml"]);
    assert_eq!(ran.status, Some(1));
    let what = "the image is for linux/riscv64, and there is a launcher for linux/amd64 and linux/arm64";
    assert!(ran.stderr.contains(what), "{}", ran.stderr);
    assert!(ran.stderr.contains("--launcher PATH"), "{}", ran.stderr);
    assert!(!project.path("out").exists());
}

#[test]
fn what_stands_for_one_platform_is_refused_and_the_plan_says_what_is_baked() {
    let project = Project::with_file(SECRETS);
    for (base, target) in
        [("crew:1", "oci:x"), ("scratch", "oci:x"), ("oci:x:1", "crew:2"), ("oci:x:1", "docker-archive:x.tar")]
    {
        project.write("deploy.yaml", &manifest(base, target, "config"));
        let ran = project.run(&["bake", "--all-platforms", "--dry-run", "deploy.yaml"]);
        assert_eq!(ran.status, Some(2), "{}", ran.stderr);
        assert!(ran.stderr.contains("holds the image of one platform only"), "{}", ran.stderr);
        assert!(ran.stderr.contains("hint: use docker://HOST/REPO:TAG"), "{}", ran.stderr);
    }
    project.write("deploy.yaml", &manifest("oci:x:1", "oci:y:1", "config"));
    let plan = |arguments: &[&str]| project.run(&[&["bake", "--dry-run", "deploy.yaml"], arguments].concat()).stdout;
    assert!(plan(&["--all-platforms"]).contains("\n  platform: all\n"));
    assert!(plan(&["--platform", "linux/arm64"]).contains("\n  platform: linux/arm64\n"));
    assert!(!plan(&[]).contains("platform"));
    assert!(plan(&["--all-platforms", "--format=json"]).contains("\"platform\": \"all\""));
    assert_eq!(project.run(&["bake", "--all-platforms", "--platform=linux/arm64", "deploy.yaml"]).status, Some(2));
}

#[test]
fn a_sealed_index_that_is_up_to_date_is_not_rewritten() {
    let project = Project::with_file("  token: { value: canary, version_id: v1 }\n");
    multi(&project);
    let recipient = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
    let there = format!("docker://{}/{}:1", registry(), repository());
    for target in ["oci:out:1", "oci-archive:out.tar:1", &there] {
        project.write("deploy.yaml", &manifest("oci:multi:1", target, "launcher"));
        let bake = || project.run(&["bake", "deploy.yaml", "--all-platforms", "--seal-to", recipient]);
        let first = bake();
        assert_eq!(first.status, Some(0), "{target}: {}", first.stderr);
        let second = bake();
        assert!(second.closing.starts_with("unchanged "), "{target}: {}", second.closing);
        assert_eq!(first.stdout, second.stdout, "{target}");
        project.write("deploy.yaml", &manifest("oci:multi:1", target, "file"));
        assert!(bake().closing.starts_with("baked "), "{target}");
    }
}
