//! "It was only for a moment": what breaks on its way is sent or read again, and what a registry declines is done without.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{SECRETS, layer_of, project, registry, repository, simple};
use crate::support::project::Project;
use crate::support::skopeo::raw;
use crate::support::stub::{Reply, Request, Stub};

/// Answers the first request that is meant with a reply, and leaves every other one to the registry.
fn once(reply: Reply, meant: impl Fn(&Request) -> bool) -> impl Fn(usize, &Request) -> Option<Reply> {
    let over = AtomicBool::new(false);
    move |_, request| (meant(request) && !over.swap(true, Ordering::SeqCst)).then(|| reply.clone())
}

fn is(request: &Request, method: &str, part: &str) -> bool {
    request.line.starts_with(&format!("{method} ")) && request.line.contains(part)
}

/// An answer of which the end is missing.
fn cut() -> Reply {
    Reply::raw(200, "application/vnd.oci.image.manifest.v1+json", "{").claiming(1000)
}

#[test]
fn a_layer_whose_upload_breaks_is_streamed_again() {
    let (_, from) = project();
    let base = format!("docker://{}/{from}:1", registry());
    let layer = layer_of(&base);
    for reply in [
        Reply::raw(503, "text/plain", "").header("retry-after", "0"),
        Reply::raw(429, "text/plain", "").header("retry-after", "0"),
        Reply::raw(507, "text/plain", ""),
        Reply::raw(400, "application/json", r#"{"errors":[{"code":"DIGEST_INVALID","message":"not what was sent"}]}"#),
        Reply::breaks(),
    ] {
        let layer = layer.clone();
        let shown = format!("{reply:?}");
        let put = layer.clone();
        let relay = Stub::before(&registry(), once(reply, move |request| is(request, "PUT", &put)));
        let target = format!("docker://{}/{}:1", relay.host(), repository());
        Project::with_file(SECRETS).baked(&simple(&base, &[&target]));
        let sent = relay.requests().iter().filter(|request| is(request, "PUT", &layer)).count();
        assert!(sent > 1, "{shown}");
        assert_eq!(layer_of(&target), layer);
    }
}

#[test]
fn a_document_or_a_layer_that_is_cut_off_is_read_again() {
    let (_, from) = project();
    let layer = layer_of(&format!("docker://{}/{from}:1", registry()));
    for (kind, part) in
        [("the manifest", "/manifests/1"), ("the config or the layer", "/blobs/"), ("the layer", &*layer)]
    {
        let (part, target) = (part.to_owned(), format!("docker://{}/{}:1", registry(), repository()));
        let relay = Stub::before(&registry(), once(cut(), move |request| is(request, "GET", &part)));
        let project = Project::with_file(SECRETS);
        project.baked(&simple(&format!("docker://{}/{from}:1", relay.host()), &[&target]));
        // manifest, config and layer, and one of them again
        let gets: Vec<String> =
            relay.requests().into_iter().map(|request| request.line).filter(|line| line.starts_with("GET ")).collect();
        assert!(gets.len() > 3, "{kind}: {gets:?}");
    }
}

/// Begins an upload as a registry does that is asked to mount and does not; returns where it goes on.
fn begins_an_upload(host: &str, repository: &str) -> String {
    let mut connection = TcpStream::connect(registry()).unwrap();
    let request = format!(
        "POST /v2/{repository}/blobs/uploads/ HTTP/1.1\r\nhost: {host}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    );
    connection.write_all(request.as_bytes()).unwrap();
    let mut lines = BufReader::new(connection).lines().map(Result::unwrap);
    let location = |line: String| {
        line.split_once(": ").filter(|(name, _)| name.eq_ignore_ascii_case("location")).map(|(_, url)| url.to_owned())
    };
    lines.find_map(location).unwrap()
}

#[test]
fn a_layer_that_a_registry_does_not_mount_is_streamed_once() {
    let (_, from) = project();
    let layer = layer_of(&format!("docker://{}/{from}:1", registry()));
    for status in [202, 400, 401, 403, 404, 405] {
        let to = repository();
        let path = to.clone();
        let relay = Stub::before(&registry(), move |_, request| {
            let declined = || match status {
                202 => Reply::raw(202, "text/plain", "")
                    .header("location", &begins_an_upload(request.header("host").unwrap(), &path)),
                status => Reply::raw(status, "text/plain", ""),
            };
            request.line.contains("?mount=").then(declined)
        });
        let name = |repository: &str| format!("docker://{}/{repository}:1", relay.host());
        let manifest = simple(&name(&from), &[&name(&to)]);
        let project = Project::with_file(SECRETS);
        let streamed = || relay.requests().iter().filter(|request| is(request, "PUT", &layer)).count();
        project.baked(&manifest);
        assert_eq!((streamed(), layer_of(&name(&to))), (1, layer.clone()), "{status}");
        // the next image finds it there
        let old = raw(&name(&to));
        project.baked(&(manifest + "  PLAIN: other\n"));
        assert_eq!(streamed(), 1, "{status}");
        assert_ne!(raw(&name(&to)), old);
    }
}
