//! skopeo, the tool that judges what was written and puts bases where the tests want them; registries are asked by plain HTTP.

use std::process::Command;

/// Runs skopeo and returns its standard output, without white space around it.
pub fn skopeo(arguments: &[&str]) -> String {
    let output = Command::new("skopeo").arg("--insecure-policy").args(arguments).output().unwrap();
    assert!(output.status.success(), "skopeo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Copies an image, with every image of an index.
pub fn copy(from: &str, to: &str) {
    skopeo(&["copy", "--quiet", "--all", "--src-tls-verify=false", "--dest-tls-verify=false", from, to]);
}

/// Returns an image's manifest or index, byte for byte but for white space around it.
pub fn raw(image: &str) -> String {
    skopeo(&["inspect", "--raw", "--tls-verify=false", image])
}
