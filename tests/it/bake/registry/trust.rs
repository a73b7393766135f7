//! "Is it really our registry, and does anybody listen?" TLS with an authority of one's own, and plain HTTP where it is asked for.

use super::{SECRETS, base, project, registry, simple};
use crate::support::project::Project;
use crate::support::registry::{OwnRegistry, Tunnel};
use crate::support::stub::Stub;
use crate::support::tls;

#[test]
fn a_registry_with_a_certificate_of_our_own_authority() {
    let (_, repository) = project();
    let folder = tempfile::tempdir().unwrap();
    tls::certificates(folder.path());
    let proxy = Stub::as_tls_proxy(&registry(), tls::server(folder.path()));
    let name = |tag: &str| format!("docker://registry.test/{repository}:{tag}");
    let manifest = simple(&name("1"), &[&name("prod")]);

    let project = Project::with_file(SECRETS).variable("HTTPS_PROXY", &proxy.url());
    let ran = project.bake(&manifest);
    assert_eq!(ran.status, Some(1));
    assert!(ran.stderr.contains("does not prove who it is"), "{}", ran.stderr);
    assert!(ran.stderr.contains("SSL_CERT_FILE"), "{}", ran.stderr);
    assert!(proxy.requests().is_empty());

    let ca = folder.path().join("ca.pem");
    let project = project.variable("SSL_CERT_FILE", ca.to_str().unwrap());
    project.baked(&manifest);
    assert!(proxy.requests().iter().any(|request| request.line == format!("PUT /v2/{repository}/manifests/prod")));
}

#[test]
fn requests_side_by_side_share_a_connection_over_tls() {
    let folder = tempfile::tempdir().unwrap();
    tls::certificates(folder.path());
    let own = OwnRegistry::start_with_tls(folder.path());
    let tunnel = Tunnel::to(&own.host);
    let ca = folder.path().join("ca.pem");
    let project = Project::with_file(SECRETS)
        .variable("HTTPS_PROXY", &format!("http://{}", tunnel.host))
        .variable("SSL_CERT_FILE", ca.to_str().unwrap());
    let name = |tag: &str| format!("docker://registry.test/app:{tag}");
    // three uploads, and a layer that is streamed by itself
    project.baked(&simple(base(), &[&name("1")]));
    assert_eq!(tunnel.connections(), 2);
    assert_eq!(project.baked(&simple(base(), &[&name("1")])).brief(), "unchanged\n");
}

#[test]
fn plain_http_is_spoken_to_a_registry_elsewhere_only_if_it_is_named() {
    let (_, repository) = project();
    // as a proxy it is every host
    let relay = Stub::before(&registry(), |_, _| None);
    let project = Project::with_file(SECRETS).variable("HTTP_PROXY", &relay.url());
    let name = |tag: &str| format!("docker://registry.test:5000/{repository}:{tag}");
    project.write("deploy.yaml", &simple(&name("1"), &[&name("prod")]));

    for arguments in [&["bake", "deploy.yaml"][..], &["bake", "deploy.yaml", "--insecure-registry", "registry.test"]] {
        let ran = project.run(arguments);
        assert_eq!(ran.status, Some(1));
        assert!(ran.stderr.contains("cannot be reached"), "{}", ran.stderr);
    }
    assert!(relay.requests().is_empty());
    let insecure = ["--insecure-registry", "registry.test:5000"];
    let ran = project.run(&[&["bake", "deploy.yaml"], &insecure[..]].concat());
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    let ran = project.run(&[&["inspect", &name("prod")], &insecure[..]].concat());
    assert!(ran.stdout.contains("TOKEN"), "{ran:?}");
    let ran = project.run(&["inspect", "x:1", "--insecure-registry", "http://registry.test:5000"]);
    assert_eq!(ran.status, Some(2));
    assert!(ran.stderr.contains("as in registry.example.com:5000"), "{}", ran.stderr);
}

#[test]
fn a_registry_on_this_machine_is_asked_without_a_proxy() {
    let (project, repository) = project();
    let relay = Stub::before(&registry(), |_, _| None);
    let project = project.variable("HTTP_PROXY", &relay.url()).variable("ALL_PROXY", &relay.url());
    let name = |tag: &str| format!("docker://{}/{repository}:{tag}", registry());
    project.baked(&simple(&name("1"), &[&name("prod")]));
    assert!(relay.requests().is_empty(), "{:?}", relay.requests());
}
