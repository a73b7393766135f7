//! "My base is here and my image goes there": every base to every target that makes sense, and the same digest.

use std::process::Command;

use serde_json::json;

use crate::support::engine::Engine;
use crate::support::image::TestImage;
use crate::support::project::Project;

const SECRETS: &str = "  token: canary\n";

/// Returns a project with the same base as a docker-archive, an oci-archive and a layout.
fn project() -> Project {
    let project = Project::with_file(SECRETS);
    let image = TestImage::busybox(json!({ "Cmd": ["/bin/sh"], "User": "app", "Env": ["PATH=/bin"] })).directory(
        "app",
        0o700,
        (1000, 1000),
    );
    image.write("sbtest/base:1", &project.path("base.tar"));
    for target in ["oci:layout:1", "oci-archive:base-oci.tar:1"] {
        let (transport, path) = target.split_once(':').unwrap();
        let target = format!("{transport}:{}", project.path(path).display());
        skopeo(&["copy", &format!("docker-archive:{}", project.path("base.tar").display()), &target]);
    }
    project
}

fn skopeo(arguments: &[&str]) -> String {
    let output = Command::new("skopeo").args(["--insecure-policy"]).args(arguments).output().unwrap();
    assert!(output.status.success(), "skopeo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn manifest(base: &str, target: &str) -> String {
    format!(
        "version: 1\nimage:\n  base: \"{base}\"\n  tags: [\"{target}\"]\nenv:\n  TOKEN: {{ secret: token }}\n\
         files:\n  /app/key: {{ secret: token, owner: app }}\n"
    )
}

#[test]
fn every_file_base_goes_to_every_file_target_and_runs() {
    let engine = Engine::one();
    let project = project();
    let mut digests = Vec::new();
    for base in ["docker-archive:base.tar", "oci:layout:1", "oci-archive:base-oci.tar:1"] {
        for (number, target) in
            ["docker-archive:out{}.tar:sbtest/out:{}", "oci:out{}:1", "oci-archive:out{}.oci.tar:1"].iter().enumerate()
        {
            let id = format!("{}{number}", base.len());
            let target = target.replace("{}", &id);
            let ran = project.baked(&manifest(base, &target));
            let digest = ran.stdout.trim_end().rsplit_once('@').unwrap().1.to_owned();
            digests.push((base, number, digest));
            assert_eq!(project.baked(&manifest(base, &target)).brief(), "unchanged\n", "{base} to {target}");

            // what another tool makes of it runs
            let archive = project.path(&format!("run{id}.tar"));
            let name = format!("sbtest/run:{id}");
            let (transport, rest) = target.split_once(':').unwrap();
            let path = rest.split(':').next().unwrap();
            let tag = if transport == "docker-archive" { String::new() } else { ":1".to_owned() };
            let from = format!("{transport}:{}{tag}", project.path(path).display());
            skopeo(&["copy", &from, &format!("docker-archive:{}:{name}", archive.display())]);
            engine.cli(&["load", "-i", archive.to_str().unwrap()]);
            let printed = engine.text(&[
                "run",
                "--rm",
                "--network",
                "none",
                &name,
                "sh",
                "-c",
                "echo $TOKEN; cat /app/key; echo; stat -c '%a %u:%g' /app /app/key",
            ]);
            engine.cli(&["rmi", "-f", &name]);
            assert_eq!(printed, "canary\ncanary\n700 1000:1000\n440 1000:0", "{base} to {target}");
        }
    }
    // a layout and an oci-archive of the same base have the same digest
    let of = |base: &str, target: usize| digests.iter().find(|(b, t, _)| *b == base && *t == target).unwrap().2.clone();
    assert_eq!(of("oci:layout:1", 1), of("oci-archive:base-oci.tar:1", 2));
    assert_eq!(of("oci:layout:1", 1), of("oci:layout:1", 2));
}

#[test]
fn an_archive_goes_through_a_pipe() {
    let engine = Engine::one();
    let project = project();
    project.write("deploy.yaml", &manifest("docker-archive:base.tar", "docker-archive:-:sbtest/pipe:1"));
    let output = project.command(&["bake", "deploy.yaml"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("docker-archive:-:sbtest/pipe:1@sha256:"), "{said}");
    assert_eq!(output.stdout.len() % 512, 0, "something else than the archive is on standard output");
    std::fs::write(project.path("piped.tar"), &output.stdout).unwrap();
    engine.cli(&["load", "-i", project.path("piped.tar").to_str().unwrap()]);
    let printed = engine.text(&["run", "--rm", "--network", "none", "sbtest/pipe:1", "sh", "-c", "echo $TOKEN"]);
    engine.cli(&["rmi", "-f", "sbtest/pipe:1"]);
    assert_eq!(printed, "canary");
}

#[test]
fn the_layers_of_an_engine_do_not_go_elsewhere_and_it_is_said_how_they_can() {
    let engine = Engine::one();
    let base = engine.load(&TestImage::busybox(json!({ "Cmd": ["/bin/sh"] })));
    let project = Project::empty().on(&engine);
    let tags = |more: &str| {
        format!("version: 1\nimage: {{ base: '{}', tags: ['{}'{more}] }}\nenv: {{ A: b }}\n", base.name, base.baked())
    };
    project.write("deploy.yaml", &tags(""));
    assert_eq!(project.run(&["check", "deploy.yaml"]).status, Some(0));
    project.write("deploy.yaml", &tags(", 'oci:out:1', 'docker-archive:out.tar:out:1'"));
    // known before any secret is read
    for arguments in [&["check", "deploy.yaml"][..], &["bake", "deploy.yaml", "--dry-run"], &["bake", "deploy.yaml"]] {
        let ran = project.run(arguments);
        let said = |target: &str| {
            format!(
                "{} is in a container engine, so it cannot be the base of {target}\n  cause: a container engine \
             exports an image only as a whole\n  hint: save it with `docker save -o base.tar {}`, and use docker-archive:base.tar\n",
                base.name, base.name
            )
        };
        assert!(ran.stderr.contains(&said("oci:out:1")), "{}", ran.stderr);
        assert!(ran.stderr.contains(&said("docker-archive:out.tar:out:1")), "{}", ran.stderr);
        assert_eq!((ran.stdout.as_str(), ran.status), ("", Some(2)));
    }
}

/// Writes a `docker save` archive of one layer that is a large file of zeros: it takes next to no disk.
fn write_large(path: &std::path::Path, size: u64) {
    use std::io::{Seek as _, SeekFrom, Write as _};
    let header = |path: &str, size: u64| {
        let mut header = tar::Header::new_gnu();
        header.set_path(path).unwrap();
        header.set_mode(0o644);
        header.set_size(size);
        header.set_cksum();
        header
    };
    let inner = header("large", size);
    let layer_size = 512 + size + 1024;
    // the digest of a layer that is never in memory
    let zeros = vec![0; 1 << 20];
    let mut hasher = sha2::Sha256::default();
    sha2::Digest::update(&mut hasher, inner.as_bytes());
    (0..size >> 20).for_each(|_| sha2::Digest::update(&mut hasher, &zeros));
    sha2::Digest::update(&mut hasher, [0; 1024]);
    let diff_id: String = sha2::Digest::finalize(hasher).iter().map(|byte| format!("{byte:02x}")).collect();
    let config = json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }, "os": "linux", "config": {},
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{diff_id}")] },
    });
    let manifest = json!([{ "Config": "config.json", "RepoTags": ["large:1"], "Layers": ["layer.tar"] }]);
    let mut file = std::fs::File::create(path).unwrap();
    for (name, content) in [("config.json", config.to_string()), ("manifest.json", manifest.to_string())] {
        file.write_all(header(name, content.len() as u64).as_bytes()).unwrap();
        file.write_all(content.as_bytes()).unwrap();
        file.write_all(&vec![0; content.len().next_multiple_of(512) - content.len()]).unwrap();
    }
    file.write_all(header("layer.tar", layer_size).as_bytes()).unwrap();
    file.write_all(inner.as_bytes()).unwrap();
    let end = file.seek(SeekFrom::Current((size + 2048) as i64)).unwrap();
    file.set_len(end).unwrap();
}

#[test]
fn a_large_archive_goes_through_little_memory() {
    const SIZE: u64 = 256 << 20;
    let project = Project::with_file(SECRETS);
    write_large(&project.path("large.tar"), SIZE);
    for target in ["docker-archive:-:large:2", "oci-archive:out.tar:1", "oci:out:1"] {
        project.write(
            "deploy.yaml",
            &format!("version: 1\nimage: {{ base: 'docker-archive:large.tar', tags: ['{target}'] }}\nenv: {{ A: {{ secret: token }} }}\n"),
        );
        // 64 MiB of data, and not a byte more: what asks for more is refused
        let bake = project.command(&["bake", "deploy.yaml"]);
        let mut limited = Command::new("sh");
        limited.args(["-c", "ulimit -d 65536; exec \"$0\" \"$@\""]).arg(bake.get_program()).args(bake.get_args());
        limited.current_dir(project.path("")).env_clear();
        limited.envs(bake.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let output = limited.stdout(std::process::Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{target}: {}", String::from_utf8_lossy(&output.stderr));
    }
    assert!(std::fs::metadata(project.path("out.tar")).unwrap().len() > SIZE);
}

#[test]
fn a_base_in_a_compressed_archive_is_read_as_docker_load_reads_it() {
    for program in ["gzip", "bzip2", "xz", "zstd"] {
        let project = Project::with_file("  token: canary\n");
        TestImage::busybox(json!({ "Cmd": ["/bin/sh"], "User": "app" })).write("base:1", &project.path("base.tar"));
        let file = std::fs::File::create(project.path("base.tar.z")).unwrap();
        let path = project.path("base.tar");
        assert!(Command::new(program).arg("-c").arg(path).stdout(file).status().unwrap().success(), "{program}");
        let manifest = |base: &str| {
            format!(
                "version: 1\nimage: {{ base: 'docker-archive:{base}', tags: ['oci:out:1'] }}\nenv: {{ TOKEN: {{ secret: token }} }}\n"
            )
        };
        let plain = project.baked(&manifest("base.tar")).stdout;
        let again = project.baked(&manifest("base.tar.z"));
        assert_eq!((again.brief().as_str(), again.stdout), ("unchanged\n", plain), "{program}");
    }
}
