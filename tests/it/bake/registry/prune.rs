//! "The old image is gone from the registry too": `--prune-replaced` deletes what lost its last tag, and nothing else.

use serde_json::{Value, json};

use super::{base, project, registry, simple};
use crate::support::image::digest;
use crate::support::project::{Project, Ran};
use crate::support::registry::{OwnRegistry, holds};
use crate::support::skopeo::{copy, raw, skopeo};
use crate::support::stub::{Reply, Stub};

/// Sets the value of the secret, and bakes.
fn rotate(project: &Project, value: &str, arguments: &[&str]) -> Ran {
    project.write("secrets.yaml", &format!("version: 1\nsecrets:\n  token: {value}\n"));
    let ran = project.run(&[&["bake", "deploy.yaml"], arguments].concat());
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    ran
}

/// Tells whether the registry still has a manifest.
fn is_there(host: &str, repository: &str, digest: &str) -> bool {
    let url = format!("http://{host}/v2/{repository}/manifests/{digest}");
    let accept = "Accept: application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
                  application/vnd.docker.distribution.manifest.v2+json";
    let ran = std::process::Command::new("curl").args(["-sf", "-o", "/dev/null", "-H", accept, &url]).status().unwrap();
    ran.success()
}

#[test]
fn no_byte_of_the_old_value_is_left_after_the_registrys_garbage_collection() {
    let registry = OwnRegistry::start();
    let name = |tag: &str| format!("docker://{}/team/crew:{tag}", registry.host);
    copy(base(), &name("1"));
    let project = Project::with_file("  token: old-canary-value\n");
    project.baked(&simple(&name("1"), &[&name("prod"), &name("edge")]));
    let old = digest(raw(&name("prod")).as_bytes());
    assert!(registry.holding(b"old-canary-value") > 0);

    let ran = rotate(&project, "new-canary-value", &["--prune-replaced", "--format", "json"]);
    let pruned = format!("docker://{}/team/crew@{old}", registry.host);
    assert_eq!(ran.brief(), format!("removed: the previous image {pruned}\nbaked\n"));
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(report["removed"], json!([pruned]));
    assert!(!is_there(&registry.host, "team/crew", &old));
    assert!(is_there(&registry.host, "team/crew", "1") && is_there(&registry.host, "team/crew", "edge"));

    let (_folder, files) = registry.collected();
    let count = |value: &str| files.iter().filter(|file| holds(file, value.as_bytes())).count();
    assert_eq!((count("old-canary-value"), count("new-canary-value") > 0), (0, true));
}

#[test]
fn no_byte_of_the_old_value_is_left_after_a_rebake_either() {
    let registry = OwnRegistry::start();
    let name = |tag: &str| format!("docker://{}/team/crew:{tag}", registry.host);
    copy(base(), &name("1"));
    let project = Project::with_file("  token: old-canary-value\n");
    project.baked(&simple(&name("1"), &[&name("prod"), &name("edge")]));
    assert!(registry.holding(b"old-canary-value") > 0);
    project.write("secrets.yaml", "version: 1\nsecrets:\n  token: new-canary-value\n");
    let ran = project.run(&["rebake", &name("prod"), &name("edge"), "--prune-replaced"]);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    assert!(ran.stderr.contains("removed: the previous image docker://"), "{}", ran.stderr);
    let (_folder, files) = registry.collected();
    let count = |value: &str| files.iter().filter(|file| holds(file, value.as_bytes())).count();
    assert_eq!((count("old-canary-value"), count("new-canary-value") > 0), (0, true));
}

#[test]
fn what_another_tag_or_an_index_names_stays_and_so_does_what_was_not_baked() {
    let (project, repository) = project();
    let host = registry();
    let name = |tag: &str| format!("docker://{host}/{repository}:{tag}");
    // the tag had the base itself before
    copy(&name("1"), &name("prod"));
    let plain = digest(raw(&name("prod")).as_bytes());
    project.write("deploy.yaml", &simple(&name("1"), &[&name("prod")]));
    assert_eq!(rotate(&project, "first", &["--prune-replaced"]).brief(), "baked\n");
    assert!(is_there(&host, &repository, &plain));

    let first = raw(&name("prod"));
    copy(&name("prod"), &name("kept"));
    assert_eq!(rotate(&project, "second", &["--prune-replaced"]).brief(), "baked\n");
    let (first, second) = (digest(first.as_bytes()), raw(&name("prod")));
    assert!(is_there(&host, &repository, &first), "another tag names it");

    // an index that another tag names
    let kind = "application/vnd.oci.image.index.v1+json";
    let media_type: Value = serde_json::from_str(&second).unwrap();
    let index = json!({ "schemaVersion": 2, "mediaType": kind, "manifests": [{ "mediaType": media_type["mediaType"],
        "digest": digest(second.as_bytes()), "size": second.len(), "platform": { "os": "linux", "architecture": "amd64" } }] });
    let url = format!("http://{host}/v2/{repository}/manifests/both");
    let put = ["-sf", "-X", "PUT", "-H", &format!("Content-Type: {kind}"), "--data-binary", &index.to_string(), &url];
    assert!(std::process::Command::new("curl").args(put).status().unwrap().success());
    assert_eq!(rotate(&project, "third", &["--prune-replaced"]).brief(), "baked\n");
    assert!(is_there(&host, &repository, &digest(second.as_bytes())), "an index names it");

    // nothing names this one
    let third = digest(raw(&name("prod")).as_bytes());
    let said = format!("removed: the previous image docker://{host}/{repository}@{third}\nbaked\n");
    assert_eq!(rotate(&project, "fourth", &["--prune-replaced"]).brief(), said);
    assert!(!is_there(&host, &repository, &third));
    // a bake without the option says nothing of the old image and leaves it
    let fourth = digest(raw(&name("prod")).as_bytes());
    assert_eq!(rotate(&project, "fifth", &[]).brief(), "baked\n");
    assert!(is_there(&host, &repository, &fourth));
}

#[test]
fn an_index_goes_with_the_images_that_only_it_lists() {
    let (project, repository) = project();
    let host = registry();
    let name = |tag: &str| format!("docker://{host}/{repository}:{tag}");
    for architecture in ["amd64", "arm64"] {
        let archive = project.path(architecture);
        crate::support::image::TestImage::empty(json!({ "Cmd": ["x"] }))
            .for_architecture(architecture)
            .write("x:1", &archive);
        copy(&format!("docker-archive:{}", archive.display()), &name(architecture));
    }
    let entry = |architecture: &str| {
        let manifest = raw(&name(architecture));
        let kind: Value = serde_json::from_str(&manifest).unwrap();
        json!({ "mediaType": kind["mediaType"], "digest": digest(manifest.as_bytes()), "size": manifest.len(),
            "platform": { "os": "linux", "architecture": architecture } })
    };
    let kind = "application/vnd.oci.image.index.v1+json";
    let index =
        json!({ "schemaVersion": 2, "mediaType": kind, "manifests": [entry("amd64"), entry("arm64")] }).to_string();
    let url = format!("http://{host}/v2/{repository}/manifests/multi");
    let put = ["-sf", "-X", "PUT", "-H", &format!("Content-Type: {kind}"), "--data-binary", &index, &url];
    assert!(std::process::Command::new("curl").args(put).status().unwrap().success());

    project.write("deploy.yaml", &simple(&name("multi"), &[&name("prod")]));
    let all = &["--all-platforms", "--prune-replaced"];
    rotate(&project, "first", all);
    let old = raw(&name("prod"));
    let list: Value = serde_json::from_str(&old).unwrap();
    let images: Vec<&str> =
        list["manifests"].as_array().unwrap().iter().map(|image| image["digest"].as_str().unwrap()).collect();
    assert_eq!(images.len(), 2);
    // one of them has a tag of its own
    skopeo(&[
        "copy",
        "--quiet",
        "--src-tls-verify=false",
        "--dest-tls-verify=false",
        &format!("docker://{host}/{repository}@{}", images[0]),
        &name("tagged"),
    ]);
    rotate(&project, "second", all);
    let old = digest(old.as_bytes());
    let there: Vec<bool> =
        [&*old, images[0], images[1]].iter().map(|digest| is_there(&host, &repository, digest)).collect();
    assert_eq!(there, [false, true, false]);
}

#[test]
fn a_registry_that_does_not_delete_is_said_with_another_way() {
    let (project, repository) = project();
    let refuses = |status, code: &'static str| {
        Stub::before(&registry(), move |_, request| {
            let body = json!({ "errors": [{ "code": code, "message": "words" }] }).to_string();
            request.line.starts_with("DELETE ").then(|| Reply::raw(status, "application/json", &body))
        })
    };
    for (status, code, why) in [
        (
            405,
            "UNSUPPORTED",
            "does not let its users delete images this way\n  hint: let the registry delete images (Docker's registry: \
             REGISTRY_STORAGE_DELETE_ENABLED=true), or delete what has no tag there: Harbor and GitLab do it with their garbage \
             collection of untagged artifacts\n",
        ),
        (
            403,
            "DENIED",
            "does not let this login delete images\n  hint: allow this login to delete: in Harbor a robot account needs \"delete \
             artifact\", in GitLab the role Maintainer, in ECR ecr:BatchDeleteImage\n",
        ),
    ] {
        let relay = refuses(status, code);
        let name = |tag: &str| format!("docker://{}/{repository}:{tag}", relay.host());
        project.write("deploy.yaml", &simple(&name("1"), &[&name(code.to_lowercase().as_str())]));
        rotate(&project, &format!("first-{code}"), &[]);
        let old = digest(raw(&name(&code.to_lowercase())).as_bytes());
        let ran = rotate(&project, &format!("second-{code}"), &["--prune-replaced"]);
        assert_eq!(
            ran.stderr,
            format!(
                "warning: the previous image docker://{host}/{repository}@{old} is still in the registry, with its old secrets\n  \
                 cause: the registry {host} {why}",
                host = relay.host()
            )
        );
    }
}

#[test]
fn a_list_of_tags_that_cannot_be_read_keeps_every_image() {
    let (project, repository) = project();
    let relay = Stub::before(&registry(), |_, request| {
        let body = r#"{"errors":[{"code":"DENIED","message":"words"}]}"#;
        request.line.contains("/tags/list").then(|| Reply::raw(403, "application/json", body))
    });
    let name = |tag: &str| format!("docker://{}/{repository}:{tag}", relay.host());
    project.write("deploy.yaml", &simple(&name("1"), &[&name("prod")]));
    rotate(&project, "first", &[]);
    let old = digest(raw(&name("prod")).as_bytes());
    let ran = rotate(&project, "second", &["--prune-replaced"]);
    assert!(
        ran.stderr.contains("is still in the registry, with its old secrets\n  cause: the registry"),
        "{}",
        ran.stderr
    );
    assert!(is_there(&registry(), &repository, &old));
    assert!(!relay.requests().iter().any(|request| request.line.starts_with("DELETE ")));
}

#[test]
fn the_list_of_tags_is_read_to_its_last_page() {
    let (project, repository) = project();
    let path = format!("/v2/{repository}/tags/list");
    // the tag that names the old image is on the last page
    let relay = Stub::before(&registry(), move |_, request| {
        let target = request.line.strip_prefix("GET ")?;
        let page = |tags: &str| Reply::raw(200, "application/json", &format!(r#"{{"name":"x","tags":{tags}}}"#));
        match target.strip_prefix(path.as_str())? {
            "?n=1000" => Some(page(r#"["1"]"#).header("link", &format!("<{path}?n=1000&last=1>; rel=\"next\""))),
            "?n=1000&last=1" => Some(page("null").header("link", &format!("<{path}?n=1000&last=2>; rel=\"next\""))),
            _ => Some(page(r#"["kept", "prod", "not a tag"]"#)),
        }
    });
    let name = |tag: &str| format!("docker://{}/{repository}:{tag}", relay.host());
    project.write("deploy.yaml", &simple(&name("1"), &[&name("prod")]));
    rotate(&project, "first", &[]);
    let old = digest(raw(&name("prod")).as_bytes());
    copy(&name("prod"), &name("kept"));
    assert_eq!(rotate(&project, "second", &["--prune-replaced"]).brief(), "baked\n");
    assert!(is_there(&registry(), &repository, &old));
    let listed = relay.requests().iter().filter(|request| request.line.contains("/tags/list")).count();
    assert_eq!(listed, 3);
}
