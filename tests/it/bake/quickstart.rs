//! "I have no account, no engine and no network, and I want to see what it does."

use std::fs;
use std::process::Command;

use crate::support::project::Project;

#[test]
fn the_quickstart_bakes_into_a_layout_that_other_tools_read() {
    let project = Project::empty();
    let root = env!("CARGO_MANIFEST_DIR");
    let manifest = format!("{root}/fixtures/quickstart/deploy.yaml");
    let org = format!("{root}/fixtures/quickstart/org.yaml");
    fs::create_dir(project.path("target")).unwrap();
    let ran = project.run(&["bake", &manifest, "--org", &org]);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    let line = ran.stdout.trim_end();
    assert!(line.starts_with("oci:target/quickstart:1.0@sha256:"), "{line}");

    let image = format!("oci:{}:1.0", project.path("target/quickstart").display());
    let output =
        Command::new("skopeo").args(["inspect", &image]).output().expect("skopeo is installed by scripts/test");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let seen = String::from_utf8(output.stdout).unwrap();
    assert!(seen.contains(line.rsplit_once('@').unwrap().1), "{seen}");
    assert!(!seen.contains("quickstart-openai-key") && !seen.contains("quickstart-password"));

    let again = project.run(&["bake", &manifest, "--org", &org]);
    assert_eq!((again.stdout, again.closing.starts_with("unchanged ")), (ran.stdout, true));
}
