//! Bakes from and to registries, told as users tell them.

use serde_json::{Value, json};

use super::{SECRETS, manifest};
use crate::support::engine::Engine;
use crate::support::image::TestImage;
use crate::support::project::Project;
use crate::support::skopeo::{copy, raw, skopeo};
use crate::support::stub::{Reply, Stub};
use crate::support::{unique, variable};

/// Returns a project with the base as a docker-archive and a layout, and an image of the registry: its repository's name.
fn project() -> (Project, String) {
    let (project, repository) = super::project();
    let repository = format!("{}/{repository}", super::registry());
    std::fs::copy(super::base().strip_prefix("docker-archive:").unwrap(), project.path("base.tar")).unwrap();
    copy(&format!("docker://{repository}:1"), &format!("oci:{}:1", project.path("layout").display()));
    (project, repository)
}

/// Bakes, expects another bake to have nothing to do, and returns the digest.
fn digest(project: &Project, base: &str, target: &str) -> String {
    let ran = project.baked(&manifest(base, target));
    assert_eq!(project.baked(&manifest(base, target)).brief(), "unchanged\n", "{base} to {target}");
    ran.stdout.trim_end().rsplit_once('@').unwrap().1.to_owned()
}

#[test]
fn a_registry_base_goes_to_a_registry_and_runs() {
    let engine = Engine::one();
    let (project, repository) = project();
    let base = format!("docker://{repository}:1");
    let same = digest(&project, &base, &format!("docker://{repository}:1-prod"));
    // the base's layers are mounted, and the image is the same
    assert_eq!(digest(&project, &base, &format!("docker://{repository}/other:1")), same);
    let inspected = skopeo(&["inspect", "--tls-verify=false", &format!("docker://{repository}:1-prod")]);
    assert!(inspected.contains(&same), "{inspected}");

    for (number, from) in [format!("{repository}:1-prod"), format!("{repository}/other:1")].iter().enumerate() {
        let archive = project.path(&format!("run{number}.tar"));
        let name = format!("sbtest/{}:1", unique("run"));
        let to = format!("docker-archive:{}:{name}", archive.display());
        skopeo(&["copy", "--src-tls-verify=false", &format!("docker://{from}"), &to]);
        engine.cli(&["load", "-i", archive.to_str().unwrap()]);
        let printed =
            engine.text(&["run", "--rm", "--network", "none", &name, "sh", "-c", "echo $TOKEN; cat /app/key"]);
        engine.cli(&["rmi", "-f", &name]);
        assert_eq!(printed, "canary\ncanary");
    }
    let inspected = project.run(&["inspect", &format!("docker://{repository}:1-prod")]);
    assert!(inspected.stdout.contains("TOKEN"), "{inspected:?}");
}

#[test]
fn a_registry_a_layout_and_an_archive_give_the_same_digest() {
    let (project, repository) = project();
    let base = format!("docker://{repository}:1");
    let layout = digest(&project, "oci:layout:1", "oci:out:1");
    assert_eq!(digest(&project, "oci:layout:1", &format!("docker://{repository}/layout:1")), layout);
    skopeo(&[
        "copy",
        &format!("oci:{}:1", project.path("layout").display()),
        "--dest-tls-verify=false",
        &format!("docker://{repository}/oci:1"),
    ]);
    let oci = format!("docker://{repository}/oci:1");
    let registry = digest(&project, &oci, &format!("{oci}-prod"));
    // the same base, but others can pull this one, so the image names it
    assert_ne!(registry, layout);
    for target in ["oci:out2:1", "oci-archive:out.tar:1", "docker-archive:out3.tar:out:1"] {
        assert_eq!(digest(&project, &oci, target), registry, "{target}");
    }
    let archive = digest(&project, "docker-archive:base.tar", &format!("docker://{repository}/archive:1"));
    skopeo(&["inspect", "--tls-verify=false", &format!("docker://{repository}/archive:1")]);
    assert!(archive.starts_with("sha256:"));
    // Docker's media types stay Docker's
    digest(&project, &base, &format!("docker://{repository}:docker"));
    let docker = digest(&project, &base, "oci:out4:1");
    for target in ["oci-archive:out5.tar:1", "docker-archive:out6.tar:out:1", &format!("docker://{repository}:docker2")]
    {
        assert_eq!(digest(&project, &base, target), docker, "{target}");
        project.write("deploy.yaml", &manifest(&base, target));
        assert_eq!(project.run(&["bake", "deploy.yaml"]).brief(), "unchanged\n", "{target}");
    }
    let (raw, baked) = (raw(&base), raw(&format!("docker://{repository}:docker")));
    for kind in ["vnd.docker.distribution.manifest.v2+json", "vnd.oci.image.manifest.v1+json"] {
        assert_eq!(raw.contains(kind), baked.contains(kind), "{kind}");
    }
}

#[test]
fn an_image_names_its_base_in_ocis_words() {
    let (project, repository) = project();
    let said = |target: &str| {
        let config: Value =
            serde_json::from_str(&skopeo(&["inspect", "--tls-verify=false", "--config", target])).unwrap();
        let manifest: Value =
            serde_json::from_str(&skopeo(&["inspect", "--tls-verify=false", "--raw", target])).unwrap();
        let of = |all: &Value, key: &str| all[format!("org.opencontainers.image.base.{key}")].clone();
        let all = [&config["config"]["Labels"], &manifest["annotations"]];
        all.map(|all| (of(all, "name"), of(all, "digest")))
    };
    let base = format!("docker://{repository}:1");
    let base_digest = skopeo(&["inspect", "--tls-verify=false", "--format", "{{.Digest}}", &base]);
    let base_digest = base_digest.trim();
    let target = format!("docker://{repository}:1-prod");
    digest(&project, &base, &target);
    // a manifest of Docker's type has no annotations
    let [labels, annotations] = said(&target);
    assert_eq!(labels, (json!(format!("{repository}:1")), json!(base_digest)));
    assert_eq!(annotations, (Value::Null, Value::Null));

    // a path on this machine is no name for others
    let layout =
        skopeo(&["inspect", "--format", "{{.Digest}}", &format!("oci:{}:1", project.path("layout").display())]);
    let target = format!("docker://{repository}/layout:1");
    digest(&project, "oci:layout:1", &target);
    for said in said(&target) {
        assert_eq!(said, (Value::Null, json!(layout.trim())));
    }
}

#[test]
fn the_layers_of_an_engine_do_not_go_to_a_registry_and_it_is_said_how_they_can() {
    let engine = Engine::one();
    let base = engine.load(&TestImage::busybox(json!({ "Cmd": ["/bin/sh"] })));
    let target = format!("docker://{}/sbtest/{}:1", variable("SECRETBAKE_TEST_REGISTRY"), unique("engine"));
    let ran = Project::with_file(SECRETS).on(&engine).bake(&manifest(&base.name, &target));
    assert_eq!(ran.status, Some(2));
    let (name, in_engine) = (&base.name, target.strip_prefix("docker://").unwrap());
    let said = format!(
        "{name} is in a container engine, so it cannot be the base of {target}\n  \
         cause: a container engine exports an image only as a whole\n  \
         hint: save it with `docker save -o base.tar {name}`, and use docker-archive:base.tar\n  \
         hint: or bake to {in_engine} and add --push\n"
    );
    assert!(ran.stderr.ends_with(&said), "{}", ran.stderr);
}

#[test]
fn a_login_comes_from_dockers_configuration() {
    let (project, _) = project();
    let host = variable("SECRETBAKE_TEST_REGISTRY_AUTH");
    let target = format!("docker://{host}/sbtest/{}:1", unique("auth"));
    let without = project.bake(&manifest("oci:layout:1", &target));
    assert_eq!(without.status, Some(1));
    assert!(without.stderr.contains(&format!("docker login {host}")), "{}", without.stderr);

    let login = format!(
        "{}:{}",
        variable("SECRETBAKE_TEST_REGISTRY_AUTH_USER"),
        variable("SECRETBAKE_TEST_REGISTRY_AUTH_PASSWORD")
    );
    let login = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, login);
    std::fs::create_dir(project.path("docker")).unwrap();
    project.write("docker/config.json", &json!({ "auths": { &host: { "auth": login } } }).to_string());
    let folder = project.path("docker");
    let project = project.variable("DOCKER_CONFIG", folder.to_str().unwrap());
    digest(&project, "oci:layout:1", &target);
    // and it reads what it wrote
    assert_eq!(project.run(&["inspect", &target]).status, Some(0));
}

#[test]
fn a_tag_that_is_not_there_and_a_registry_that_is_not_there() {
    let (project, repository) = project();
    let missing = project.bake(&manifest(&format!("docker://{repository}:none"), "oci:out:1"));
    assert_eq!(missing.status, Some(1));
    assert!(missing.stderr.contains("image not found in the registry "), "{}", missing.stderr);
    let nobody = project.bake(&manifest("docker://127.0.0.1:1/x:1", "oci:out:1"));
    assert!(
        nobody.stderr.contains("the registry 127.0.0.1:1 of `docker://127.0.0.1:1/x:1` cannot be reached"),
        "{}",
        nobody.stderr
    );
    assert!(nobody.stderr.contains("hint:"), "{}", nobody.stderr);
}

#[test]
fn a_manifest_that_is_not_what_its_digest_says_is_refused() {
    let wrong = format!("sha256:{}", "0".repeat(64));
    let stub = Stub::answering([
        Reply::raw(200, "application/vnd.oci.image.manifest.v1+json", "{}").header("docker-content-digest", &wrong)
    ]);
    let project = Project::with_file(SECRETS);
    for reference in [":1".to_owned(), format!("@{wrong}")] {
        let ran = project.bake(&manifest(&format!("docker://{}/x{reference}", stub.host()), "oci:out:1"));
        assert_eq!(ran.status, Some(1));
        assert!(ran.stderr.contains("does not match its digest"), "{}", ran.stderr);
    }
}

#[test]
fn a_busy_registry_is_asked_again() {
    let stub = Stub::answering([
        Reply::raw(429, "text/plain", "").header("retry-after", "0"),
        Reply::raw(503, "text/plain", ""),
        Reply::raw(404, "application/json", r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"no such tag"}]}"#),
    ]);
    let ran = Project::with_file(SECRETS).bake(&manifest(&format!("docker://{}/x:1", stub.host()), "oci:out:1"));
    assert!(ran.stderr.contains("MANIFEST_UNKNOWN: no such tag"), "{}", ran.stderr);
    assert_eq!(stub.requests().len(), 3);
}

#[test]
fn a_redirect_to_another_host_does_not_get_the_login() {
    let tokens = Stub::answering([Reply::raw(200, "application/json", r#"{"token":"x"}"#)]);
    let bearer = format!("Bearer realm=\"{}/token\"", tokens.url());
    // wherever it leads may ask for it
    for (status, challenge) in [(404, ""), (401, "Basic realm=\"x\""), (401, &bearer)] {
        let elsewhere = Stub::answering([Reply::raw(status, "text/plain", "").header("www-authenticate", challenge)]);
        let stub = Stub::answering([
            Reply::raw(401, "text/plain", "").header("www-authenticate", "Basic realm=\"x\""),
            Reply::raw(307, "text/plain", "").header("location", &format!("{}/blob", elsewhere.url())),
        ]);
        let project = Project::with_file(SECRETS);
        let login = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, "user:canary-password");
        let project = project.docker_config(&json!({ "auths": { stub.host(): { "auth": login } } }));
        let ran = project.bake(&manifest(&format!("docker://{}/x:1", stub.host()), "oci:out:1"));
        assert_eq!(ran.status, Some(1));
        assert!(!ran.stderr.contains("canary"), "{}", ran.stderr);
        assert_eq!(stub.requests().len(), 2, "{challenge}");
        assert!(stub.requests()[1].header("authorization").is_some());
        assert_eq!(elsewhere.requests().len(), 1);
        assert_eq!(elsewhere.requests()[0].header("authorization"), None);
        assert!(tokens.requests().is_empty(), "{:?}", tokens.requests());
    }
}

#[test]
fn a_registry_that_asks_for_a_longer_wait_than_anybody_has_is_not_waited_for() {
    let busy = r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}"#;
    let stub = Stub::answering([Reply::raw(429, "application/json", busy).header("retry-after", "3600")]);
    let base = format!("docker://{}/x:1", stub.host());
    let ran = Project::with_file(SECRETS).bake(&manifest(&base, "oci:out:1"));
    assert_eq!(
        (ran.status, ran.stderr),
        (
            Some(1),
            format!(
                "deploy.yaml:3:9: image.base: the registry {host} limits requests for `{base}`\n  \
                 cause: TOOMANYREQUESTS: slow down\n  \
                 cause: it asks to wait 3600 seconds\n  \
                 hint: wait, or log in: a login often has a higher limit\n",
                host = stub.host()
            )
        )
    );
    assert_eq!(stub.requests().len(), 1);
}

#[test]
fn a_registry_that_fails_on_the_way_is_never_asked_to_move_the_tag() {
    let (project, _) = project();
    let stub = Stub::answering([
        Reply::raw(404, "text/plain", ""),
        Reply::raw(500, "text/plain", "").header("retry-after", "0"),
    ]);
    let ran = project.bake(&manifest("oci:layout:1", &format!("docker://{}/x:1", stub.host())));
    assert_eq!(ran.status, Some(1));
    assert!(ran.stderr.contains("with status 500"), "{}", ran.stderr);
    assert!(stub.requests().len() > 1);
    let moved = |line: &str| line.starts_with("PUT") && line.contains("/manifests/");
    assert!(!stub.requests().iter().any(|request| moved(&request.line)), "{:?}", stub.requests());
}

#[test]
fn a_registry_without_tls_needs_no_certificates() {
    let (project, repository) = project();
    let project = project.variable("SSL_CERT_FILE", "/dev/null").variable("SSL_CERT_DIR", "/dev/null");
    digest(&project, &format!("docker://{repository}:1"), &format!("docker://{repository}:1-prod"));
}

#[test]
fn many_images_of_one_base_read_it_once() {
    let stub = Stub::answering([Reply::raw(404, "text/plain", "")]);
    let project = Project::with_file(SECRETS);
    let base = format!("docker://{}/x:1", stub.host());
    for name in ["one", "two", "three"] {
        project.write(&format!("{name}.yaml"), &manifest(&base, &format!("oci:{name}:1")));
    }
    let ran = project.run(&["bake", "one.yaml", "two.yaml", "three.yaml"]);
    assert_eq!(ran.status, Some(1));
    let said = format!(
        "one.yaml:3:9: image.base: image not found in the registry {}: `{base}`\n  also at two.yaml:3:9: image.base\n  \
         also at three.yaml:3:9: image.base\n  hint: check the repository and the tag; you may need to log in to see it\n\
         3 errors in 3 files\n",
        stub.host()
    );
    assert_eq!(ran.stderr, said);
    assert_eq!(stub.requests().len(), 1, "{:?}", stub.requests());
}
