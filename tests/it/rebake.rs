//! "The secret was rotated, and I have only the image."

use std::fs;

use serde_json::{Value, json};

use crate::support::engine::Engine;
use crate::support::image::{TestImage, busybox};
use crate::support::moto::Moto;
use crate::support::oci_base::{Oci, oci_archive};
use crate::support::project::{Project, Ran};
use crate::support::skopeo::{copy, raw};
use crate::support::stub::{Reply, Stub};
use crate::support::{unique, variable};

const OLD: &str = "  token: canary-old\n  db: '{\"user\": \"u\", \"password\": \"p/1\"}'\n  gone: canary-gone\n";
const NEW: &str =
    "  token: canary-new\n  db: '{\"user\": \"u2\", \"password\": \"p/2\", \"host\": \"h\"}'\n  late: canary-late\n";

/// Everything that a manifest can say of variables and files.
fn manifest(base: &str, target: &str, image: &str) -> String {
    format!(
        "version: 1\nimage:\n  base: \"{base}\"\n  tags: [\"{target}\"]\n{image}env_from:\n  \
         - {{ secret: db, prefix: DB_, case: upper, rename: {{ user: WHO }} }}\nenv:\n  \
         Z_PLAIN: \"a: 'b' \\\"c\\\" é\"\n  TOKEN: {{ secret: token }}\n  GONE: {{ secret: gone, optional: true }}\n  \
         LATE: {{ secret: late, optional: true }}\n  LANG: C\n  B64: {{ secret: token, encoding: base64 }}\n  \
         URL:\n    template: \"pg://{{{{u}}}}:{{{{p | url}}}}@h\"\n    \
         with: {{ u: {{ secret: 'db#user' }}, p: {{ secret: 'db#password' }} }}\n\
         files:\n  /linked/new/key: {{ secret: token, owner: app, mode: \"0400\" }}\n  /app/late: {{ secret: late, optional: true }}\n"
    )
}

/// The ways to inject, as lines of `image:`.
const WAYS: [&str; 3] =
    ["", "  inject: config\n", "  inject: file\n  format: json\n  path: /app/env.json\n  owner: app:staff\n"];

/// A base with everything that a bake touches.
fn base() -> TestImage {
    let config = json!({
        "Cmd": ["/bin/sh"], "User": "app", "Env": ["PATH=/bin", "LANG=C.UTF-8", "DB_PASSWORD=default"],
        "Labels": { "z": "1", "of": unique("rebake") }, "Healthcheck": { "Test": ["CMD-SHELL", "true"], "Retries": 3 },
    });
    TestImage::busybox(config).directory("app", 0o750, (1000, 50)).link("linked", "app")
}

fn secrets(project: &Project, secrets: &str) {
    project.write("secrets.yaml", &format!("version: 1\nsecrets:\n{secrets}"));
}

fn ok(ran: Ran) -> Ran {
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    ran
}

/// Returns what a tag names now, from the line `TAG@DIGEST`.
fn digest_of(ran: &Ran) -> String {
    ran.stdout.trim_end().rsplit_once('@').unwrap_or_else(|| panic!("{ran:?}")).1.to_owned()
}

/// Bakes with old values, rebakes with new ones, and bakes the manifest with the new ones to another tag: both must be the same image.
fn is_the_same_as_a_bake(project: &Project, base: &str, [target, other]: [&str; 2], image: &str) {
    secrets(project, OLD);
    let old = digest_of(&project.baked(&manifest(base, target, image)));
    secrets(project, NEW);
    let rebaked = digest_of(&ok(project.run(&["rebake", target])));
    let baked = digest_of(&project.baked(&manifest(base, other, image)));
    assert_eq!(rebaked, baked, "{base} to {target} {image}");
    assert_ne!(rebaked, old);
    let again = ok(project.run(&["rebake", target, "--all"]));
    assert_eq!((digest_of(&again), again.brief().as_str()), (baked, "unchanged\n"), "{target}");
}

#[test]
fn a_rebake_is_the_same_image_as_a_bake_from_the_manifest_in_registries_layouts_and_archives() {
    let project = Project::with_file(OLD);
    base().write("sbtest/base:1", &project.path("base.tar"));
    let repository = format!("docker://{}/sbtest/{}", variable("SECRETBAKE_TEST_REGISTRY"), unique("rebake"));
    copy(&format!("docker-archive:{}", project.path("base.tar").display()), &format!("{repository}:1"));
    for (number, image) in WAYS.into_iter().enumerate() {
        let registry = format!("{repository}:1");
        let registry_targets = [format!("{repository}:a{number}"), format!("{repository}:b{number}")];
        is_the_same_as_a_bake(&project, &registry, registry_targets.each_ref().map(String::as_str), image);
        let layout = [format!("oci:out:a{number}"), format!("oci:out:b{number}")];
        is_the_same_as_a_bake(&project, &registry, layout.each_ref().map(String::as_str), image);
        for kind in ["oci-archive", "docker-archive"] {
            let name =
                |file: &str| format!("{kind}:{file}{number}.tar:x:1").replace("oci-archive:", "oci-archive:oci-");
            let name = |file: &str| if kind == "oci-archive" { name(file).replace(":x:1", ":1") } else { name(file) };
            let targets = [name("a"), name("b")];
            is_the_same_as_a_bake(&project, "docker-archive:base.tar", targets.each_ref().map(String::as_str), image);
        }
    }
}

#[test]
fn a_rebake_is_the_same_image_as_a_bake_from_the_manifest_in_every_engine() {
    for engine in Engine::all() {
        let project = Project::with_file(OLD).on(&engine);
        let loaded = engine.load(&base());
        for image in WAYS {
            let targets = [engine.name("rebake"), engine.name("rebake")];
            is_the_same_as_a_bake(&project, &loaded.name, targets.each_ref().map(String::as_str), image);
            if image.is_empty() {
                let printed = engine.shell(&targets[0], "echo $TOKEN $URL $LATE $GONE; cat /app/new/key");
                assert_eq!(printed.trim(), "canary-new pg://u2:p%2F2@h canary-late\ncanary-new", "{}", engine.name);
            }
        }
    }
}

#[test]
fn a_variable_that_gives_way_to_the_base_s_again_needs_the_base() {
    let project = Project::with_file("  token: canary\n");
    let config = json!({ "os": "linux", "architecture": "amd64", "config": { "Env": ["TOKEN=of-base"] } });
    let (base, _, _) = oci_archive("sbtest/base:1", &[Oci { config, layers: &[], manifest: json!({}) }]);
    fs::write(project.path("base.tar"), base).unwrap();
    project.baked(
        "version: 1\nimage: { base: 'oci-archive:base.tar', tags: ['oci:out:1'], inject: config }\n\
         env: { TOKEN: { secret: token, optional: true }, PLAIN: x }\n",
    );
    secrets(&project, "  other: canary\n");
    let ran = project.run(&["rebake", "oci:out:1"]);
    assert_eq!(
        ran.stderr,
        "oci:out:1: image.base: cannot bake onto oci:out:1: the base's own value of TOKEN is needed, which the baked image does \
         not hold\n  hint: bake the image from its manifest and its base\n"
    );
    assert_eq!(ran.status, Some(1));
}

#[test]
fn an_image_on_scratch_with_nothing_but_plain_variables_left_is_the_same_too() {
    let project = Project::with_file("  token: canary\n");
    let manifest = |tag: &str| {
        format!(
            "version: 1\nimage: {{ base: scratch, tags: ['oci:out:{tag}'] }}\nenv: {{ PLAIN: x, TOKEN: {{ secret: token, optional: true }} }}\n"
        )
    };
    project.baked(&manifest("1"));
    secrets(&project, "  other: canary\n");
    let rebaked = digest_of(&ok(project.run(&["rebake", "oci:out:1"])));
    assert_eq!(rebaked, digest_of(&project.baked(&manifest("2"))));
    secrets(&project, "  token: canary\n");
    assert_eq!(digest_of(&ok(project.run(&["rebake", "oci:out:1"]))), digest_of(&project.baked(&manifest("2"))));
}

#[test]
fn a_base_may_have_null_in_any_field() {
    let project = Project::with_file(OLD);
    let fields = ["Cmd", "Entrypoint", "Env", "Healthcheck", "Labels", "OnBuild", "Shell", "Volumes"];
    let with_null = |fields: &[&str]| {
        let mut config = json!({ "User": "app" });
        fields.iter().for_each(|field| config[field] = Value::Null);
        config
    };
    let each = fields.iter().map(|field| with_null(&[field]));
    for (number, config) in each.chain([with_null(&fields)]).enumerate() {
        let base = TestImage::busybox(config).directory("app", 0o750, (1000, 50)).link("linked", "app");
        base.write("sbtest/base:1", &project.path("base.tar"));
        for (way, image) in WAYS.into_iter().enumerate() {
            let targets = [format!("oci:out:a{number}-{way}"), format!("oci:out:b{number}-{way}")];
            is_the_same_as_a_bake(&project, "docker-archive:base.tar", targets.each_ref().map(String::as_str), image);
        }
    }
}

/// Writes the index `oci:multi:1`, whose two images have different users.
fn write_index(project: &Project) {
    for architecture in ["arm64", "amd64"] {
        let passwd = format!("app:x:{}:0::/:/\n", if architecture == "arm64" { 64 } else { 32 });
        let image = TestImage::empty(json!({ "Cmd": [architecture], "User": "app" })).for_architecture(architecture);
        let archive = project.path(architecture);
        image.directory("etc", 0o755, (0, 0)).file("etc/passwd", 0o644, passwd.as_bytes()).write("x:1", &archive);
        copy(
            &format!("docker-archive:{}", archive.display()),
            &format!("oci:{}:{architecture}", project.path("multi").display()),
        );
    }
    let index_file = project.path("multi/index.json");
    let index: Value = serde_json::from_slice(&fs::read(&index_file).unwrap()).unwrap();
    let entries = index["manifests"].as_array().unwrap().iter().zip(["arm64", "amd64"]).map(|(entry, architecture)| {
        json!({ "mediaType": entry["mediaType"], "size": entry["size"], "digest": entry["digest"],
            "platform": { "os": "linux", "architecture": architecture } })
    });
    let index = json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": entries.collect::<Vec<_>>() })
    .to_string();
    let digest = crate::support::image::digest(index.as_bytes());
    fs::write(project.path("multi/blobs/sha256").join(&digest["sha256:".len()..]), &index).unwrap();
    let root = json!({ "schemaVersion": 2, "manifests": [{ "mediaType": "application/vnd.oci.image.index.v1+json",
        "digest": digest, "size": index.len(), "annotations": { "org.opencontainers.image.ref.name": "1" } }] });
    fs::write(index_file, root.to_string()).unwrap();
}

/// Returns the manifest that bakes that index or one of its images.
fn of_index(target: &str) -> String {
    format!(
        "version: 1\nimage: {{ base: 'oci:multi:1', tags: ['{target}'] }}\nenv: {{ TOKEN: {{ secret: token }} }}\n\
         files: {{ /key: {{ secret: token, owner: app }} }}\n"
    )
}

#[test]
fn an_index_is_rebaked_whole() {
    let project = Project::with_file(OLD);
    write_index(&project);
    let bake = |tag: &str| {
        project.write("deploy.yaml", &of_index(&format!("oci:out:{tag}")));
        digest_of(&ok(project.run(&["bake", "deploy.yaml", "--all-platforms"])))
    };
    bake("1");
    secrets(&project, NEW);
    let rebaked = digest_of(&ok(project.run(&["rebake", "oci:out:1"])));
    assert_eq!(rebaked, bake("2"));
}

#[test]
fn one_platform_of_an_index_is_rebaked_to_another_tag() {
    let project = Project::with_file(OLD);
    write_index(&project);
    project.write("deploy.yaml", &of_index("oci:out:1"));
    let index = digest_of(&ok(project.run(&["bake", "deploy.yaml", "--all-platforms"])));
    secrets(&project, NEW);
    for place in ["oci:out:arm64", "docker-archive:arm64.tar:crew:1"] {
        let arm = ["--platform", "linux/arm64"];
        let rebaked = ok(project.run(&[&["rebake", "oci:out:1", "--tag", place], &arm[..]].concat()));
        project.write("deploy.yaml", &of_index(&place.replace("arm64", "other")));
        let baked = ok(project.run(&[&["bake", "deploy.yaml"], &arm[..]].concat()));
        assert_eq!(digest_of(&rebaked), digest_of(&baked), "{place}");
    }
    // the index is what it was
    let current = project.run(&["rebake", "oci:out:1", "--dry-run", "--format", "json"]);
    assert!(current.stdout.contains("\"due\""), "{}", current.stdout);
    let layout = fs::read_to_string(project.path("out/index.json")).unwrap();
    assert!(layout.contains(&index), "{layout}");

    let none = project.run(&["rebake", "oci:none:1", "--dry-run", "--format", "json"]);
    let report: Value = serde_json::from_str(&none.stdout).unwrap();
    // a problem of an image is said there only
    assert_eq!(
        (&report["diagnostics"], report["images"][0]["diagnostics"].as_array().unwrap().len()),
        (&Value::Null, 1)
    );

    let alone = project.run(&["rebake", "oci:out:1", "--platform", "linux/arm64"]);
    assert_eq!(alone.status, Some(2));
    assert!(alone.stderr.contains("--tag <TAG>"), "{}", alone.stderr);
    let whole = project.run(&["rebake", "oci:out:1", "--tag", "docker-archive:whole.tar:crew:1"]);
    assert_eq!(whole.status, Some(1));
    assert!(whole.stderr.contains("or bake one platform with --platform\n"), "{}", whole.stderr);
    let none = project.run(&["rebake", "oci:out:1", "--tag", "oci:out:s390x", "--platform", "linux/s390x"]);
    assert_eq!(none.status, Some(1));
    assert!(none.stderr.contains("linux/s390x"), "{}", none.stderr);
}

#[test]
fn an_image_for_another_architecture_needs_its_launcher_again() {
    let project = Project::with_file(OLD);
    let base = TestImage::empty(json!({ "Cmd": ["/x"] })).for_architecture("riscv64");
    base.write("x:1", &project.path("base.tar"));
    // a program for this machine, which says that it is for RISC-V
    let mut program = busybox();
    program[18] = 243;
    fs::write(project.path("launcher"), program).unwrap();
    project.write(
        "deploy.yaml",
        "version: 1\nimage: { base: 'docker-archive:base.tar', tags: ['oci:out:1'] }\nenv: { TOKEN: { secret: token } }\n",
    );
    let old = digest_of(&ok(project.run(&["bake", "deploy.yaml", "--launcher", "launcher"])));
    secrets(&project, NEW);
    let without = project.run(&["rebake", "oci:out:1"]);
    assert_eq!(without.status, Some(1));
    assert!(
        without.stderr.contains("hint: pass a launcher for this architecture with --launcher PATH"),
        "{}",
        without.stderr
    );
    let rebaked = digest_of(&ok(project.run(&["rebake", "oci:out:1", "--launcher", "launcher"])));
    assert_ne!(rebaked, old);
    let again = ok(project.run(&["bake", "deploy.yaml", "--launcher", "launcher"]));
    assert_eq!((digest_of(&again), again.brief().as_str()), (rebaked, "unchanged\n"));
}

#[test]
fn only_what_has_drifted_is_rebaked_and_of_the_rest_no_value_is_read() {
    let moto = Moto::new();
    moto.text("kept", "canary-1");
    moto.text("rotated", "canary-2");
    let project = Project::with_moto(&moto);
    for name in ["kept", "rotated"] {
        project.baked(&format!(
            "version: 1\nimage: {{ base: scratch, tags: ['oci:out:{name}', 'oci:out:{name}-2'] }}\nenv: {{ A: {{ secret: {} }} }}\n",
            moto.name(name)
        ));
    }
    let all = ["oci:out:kept", "oci:out:rotated", "oci:out:rotated-2"];
    let ran = ok(project.run(&[&["rebake"], &all[..]].concat()));
    assert_eq!((ran.stdout.as_str(), ran.closing.as_str()), ("", "nothing to bake in [TIME]; 0 secrets read"));
    assert_eq!(ran.stderr, "current: oci:out:kept\ncurrent: oci:out:rotated\ncurrent: oci:out:rotated-2\n");

    let now = moto.rotate("rotated", "canary-3");
    let would = ok(project.run(&[&["rebake", "--dry-run"], &all[..]].concat()));
    assert!(
        would.stdout.starts_with("oci:out:kept: current\noci:out:rotated: would be rebaked\n  A  secret "),
        "{}",
        would.stdout
    );
    assert!(would.stdout.contains(&format!("AWSCURRENT is {}", &now[..8])), "{}", would.stdout);
    assert_eq!(would.stderr, "dry run: 2 of 3 images would be rebaked; nothing was written\n");

    let relay = Stub::before(moto.endpoint.strip_prefix("http://").unwrap(), |_, _| None);
    let project = project.variable("AWS_ENDPOINT_URL", &relay.url());
    let ran = ok(project.run(&[&["rebake"], &all[..]].concat()));
    // each secret described once, and the one that has drifted read once for both images
    let mut operations = relay.operations();
    operations.sort();
    assert_eq!(operations, ["DescribeSecret", "DescribeSecret", "GetSecretValue"]);
    assert_eq!(ran.stderr, "current: oci:out:kept\nbaked: oci:out:rotated\nbaked: oci:out:rotated-2\n");
    assert_eq!(ran.closing, "2 baked in [TIME]; 1 secret read");
    let layout = crate::env_from::file_in_layout(&project, "/.secretbake/env");
    assert!(layout.is_some());
    let drift = project.run(&["drift", "oci:out:rotated"]);
    assert_eq!((drift.stdout.as_str(), drift.status), ("oci:out:rotated: current\n", Some(0)));

    let report = ok(project.run(&[&["rebake", "--format", "json", "--all"], &all[..]].concat()));
    let report: Value = serde_json::from_str(&report.stdout).unwrap();
    crate::schema::holds(&crate::schema::schema("rebake"), &report, "rebake");
    assert_eq!(
        report["images"].as_array().unwrap().iter().map(|image| &image["status"]).collect::<Vec<_>>(),
        ["unchanged"; 3]
    );
    let tagged = ok(project.run(&["rebake", "oci:out:kept", "--all", "--tag", "oci:out:elsewhere"]));
    assert!(tagged.stdout.starts_with("oci:out:elsewhere@sha256:"), "{}", tagged.stdout);
}

#[test]
fn a_sealed_image_is_sealed_for_the_same_recipients_again() {
    let versioned = |value: &str, version: &str| format!("  token: {{ value: {value}, version_id: {version} }}\n");
    let project = Project::with_file(&versioned("canary-old", "v1"));
    let recipient = crate::seal::key(&project, "key.txt");
    let manifest = format!(
        "version: 1\nimage: {{ base: scratch, tags: ['oci:out:1'], seal: {{ recipients: [{recipient}] }} }}\n\
         env: {{ TOKEN: {{ secret: token }}, PLAIN: x }}\nfiles: {{ /app/key: {{ secret: token, mode: \"0400\", owner: \"7:8\" }} }}\n"
    );
    project.baked(&manifest);
    secrets(&project, &versioned("canary-new", "v2"));
    let ran = ok(project.run(&["rebake", "oci:out:1"]));
    assert!(ran.closing.ends_with("1 variable, 1 file from 1 secret, sealed"), "{}", ran.closing);
    // everything but the seal itself is what a bake gives
    assert_eq!(project.baked(&manifest).brief(), "unchanged\n");
    let inspected = project.run(&["inspect", "oci:out:1"]);
    assert!(inspected.stdout.contains(&recipient), "{}", inspected.stdout);
}

#[test]
fn within_a_repository_a_rebake_asks_what_a_bake_asks() {
    let project = Project::with_file(OLD);
    base().write("sbtest/base:1", &project.path("base.tar"));
    let relay = Stub::before(&variable("SECRETBAKE_TEST_REGISTRY"), |_, _| None);
    let repository = format!("sbtest/{}", unique("rebake-count"));
    copy(
        &format!("docker-archive:{}", project.path("base.tar").display()),
        &format!("docker://{}/{repository}:1", variable("SECRETBAKE_TEST_REGISTRY")),
    );
    let name = |tag: &str| format!("docker://{}/{repository}:{tag}", relay.host());
    let manifest = |tag: &str| {
        format!(
            "version: 1\nimage: {{ base: '{}', owner: '0:0', tags: ['{}'] }}\nenv: {{ TOKEN: {{ secret: token }} }}\n",
            name("1"),
            name(tag)
        )
    };
    let asked = |since: usize| {
        let kind = |line: &str| {
            let (method, path) = line.split_once(' ').unwrap();
            let what =
                ["manifests", "blobs/uploads", "blobs"].into_iter().find(|what| path.contains(&format!("/{what}/")));
            format!("{method} {}", what.unwrap_or(path))
        };
        let mut all: Vec<String> = relay.requests()[since..].iter().map(|request| kind(&request.line)).collect();
        all.sort();
        all
    };
    project.baked(&manifest("2"));
    // the launcher is there, and the base's config is not in the cache
    fs::remove_dir_all(project.cache()).unwrap();
    secrets(&project, NEW);
    let before = relay.requests().len();
    project.baked(&manifest("2"));
    let bake = asked(before);
    secrets(&project, OLD);
    let before = relay.requests().len();
    ok(project.run(&["rebake", &name("2"), "--all"]));
    assert_eq!(asked(before), bake);
}

#[test]
fn an_image_that_cannot_be_rebaked_is_refused_with_the_next_step_and_the_others_are_rebaked() {
    let project = Project::with_file(OLD);
    let bake = |tag: &str, env: &str| {
        project.baked(&format!(
            "version: 1\nimage: {{ base: scratch, tags: ['oci:out:{tag}'] }}\nenv:\n  TOKEN: {{ secret: token }}\n{env}"
        ))
    };
    bake("right", "");
    bake(
        "withheld",
        "  URL: { template: 'postgres://crew:hunter2hunter2@{{h}}/db', with: { h: { secret: token } } }\n",
    );
    secrets(&project, NEW);
    let org = "secretbake.org.yaml";
    let ran = project.run(&["rebake", "oci:out:withheld", "oci:out:right", "oci:none:1", "oci:out", "--org", org]);
    assert_eq!(ran.status, Some(1));
    assert!(ran.stdout.starts_with("oci:out:right@sha256:"), "{}", ran.stdout);
    assert!(
        ran.stderr.contains(
            "error: cannot rebake oci:out:withheld: it does not hold the text of env.URL, which looks like a credential or is sealed\n  \
             hint: bake it from its manifest: secretbake bake MANIFEST --tag oci:out:withheld --org secretbake.org.yaml\n"
        ),
        "{}",
        ran.stderr
    );
    assert!(
        ran.stderr.contains(
            "error: cannot rebake oci:out in its place: it has no tag to move\n  hint: name the tag to write with --tag\n"
        ),
        "{}",
        ran.stderr
    );

    let digest = format!("crew:1@sha256:{}", "a".repeat(64));
    let by_digest = project.run(&["rebake", &digest]);
    assert_eq!(
        by_digest.stderr,
        format!(
            "error: cannot rebake {digest} in its place: a digest or image ID cannot be a tag\n  \
             hint: write crew:1, or name the tag to write with --tag\n"
        )
    );

    let other = project.run(&["rebake", "oci:out:right", "--all", "--org", "other.yaml"]);
    assert_eq!(other.status, Some(2), "{}", other.stderr);
    project
        .write("other.yaml", "version: 1\ncredentials:\n  - { name: elsewhere, provider: file, path: secrets.yaml }\n");
    let other = project.run(&["rebake", "oci:out:right", "--all", "--org", "other.yaml"]);
    assert_eq!(other.status, Some(2), "{}", other.stderr);
    assert!(other.stderr.starts_with("oci:out:right: env.TOKEN: no credential "), "{}", other.stderr);

    let manifest = project.run(&["rebake", "deploy.yaml"]);
    assert_eq!(
        (manifest.stderr.as_str(), manifest.status),
        (
            "error: deploy.yaml is a file, and rebake takes images\n  hint: to bake a manifest, run secretbake bake deploy.yaml\n",
            Some(2)
        )
    );

    let two = project.run(&["rebake", "oci:out:right", "oci:out:withheld", "--tag", "oci:out:x"]);
    assert_eq!(two.status, Some(2));
    assert_eq!(
        two.stderr,
        "error: --tag with more than one image: they would replace each other\n  hint: rebake one image at a time\n"
    );
}

/// Returns a registry with one image of this config.
fn registry_with(config: &Value) -> Stub {
    let config = config.to_string();
    let digest = crate::support::image::digest(config.as_bytes());
    let manifest = json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "layers": [],
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "size": config.len(), "digest": digest } });
    let manifest = manifest.to_string();
    Stub::by(move |_, request| match request.line.contains("/manifests/") {
        true => Reply::raw(200, "application/vnd.oci.image.manifest.v1+json", &manifest),
        false => Reply::raw(200, "application/octet-stream", &config),
    })
}

#[test]
fn an_image_of_an_older_secretbake_is_refused() {
    let labels = json!({ "dev.secretbake.provenance": r#"{"version":1,"base":null,"inject":"config"}"# });
    let config = json!({ "os": "linux", "architecture": "amd64", "rootfs": { "type": "layers", "diff_ids": [] },
        "config": { "Labels": labels } });
    let stub = registry_with(&config);
    let name = format!("docker://{}/crew:1", stub.host());
    let ran = Project::with_file(OLD).run(&["rebake", &name]);
    assert_eq!(
        (ran.stderr.as_str(), ran.status),
        (
            &*format!(
                "error: cannot rebake {name}: an older secretbake baked it, and did not write down what a rebake needs\n  \
                 hint: bake it from its manifest: secretbake bake MANIFEST --tag {name}\n"
            ),
            Some(1)
        )
    );
}

#[test]
fn an_image_with_build_steps_on_top_is_refused() {
    let project = Project::with_file(OLD);
    let repository = format!("docker://{}/sbtest/{}", variable("SECRETBAKE_TEST_REGISTRY"), unique("rebake-top"));
    project.baked(&format!(
        "version: 1\nimage: {{ base: scratch, tags: ['{repository}:1'] }}\nenv: {{ TOKEN: {{ secret: token }} }}\n"
    ));
    let manifest: Value = serde_json::from_str(&raw(&format!("{repository}:1"))).unwrap();
    assert_eq!(manifest["layers"].as_array().unwrap().len(), 2);
    // Podman does not understand how the Docker CLI commits
    for engine in Engine::all().into_iter().filter(|engine| !engine.is_podman()) {
        let project = Project::with_file("  token: { value: canary-old, version_id: v1 }\n").on(&engine);
        let base = engine.load(&base());
        project.baked(&format!(
            "version: 1\nimage: {{ base: '{}', tags: ['{}'] }}\nenv:\n  TOKEN: {{ secret: token }}\n  \
             URL: {{ template: 'postgres://crew:hunter2hunter2@{{{{h}}}}/db', with: {{ h: {{ secret: token }} }} }}\n",
            base.name,
            base.baked()
        ));
        // as RUN or COPY, and as ENV or LABEL
        for (step, change) in [("touch /app/built", "ENV"), ("true", "LABEL")] {
            let (container, top) = (unique("sbtest-top"), engine.name("top"));
            engine.cli(&[
                "run",
                "--user",
                "0",
                "--network",
                "none",
                "--name",
                &container,
                &base.baked(),
                "sh",
                "-c",
                step,
            ]);
            engine.cli(&["commit", "--change", &format!("{change} on=top"), &container, &top]);
            engine.cli(&["rm", "-f", &container]);
            let ran = project.run(&["rebake", &top]);
            assert_eq!(
                (ran.stderr, ran.status),
                (
                    format!(
                        "error: cannot rebake {top}: something was built on top of it, which may hold a copy of an old value\n  \
                         hint: rebake the image that it was built on, and build it again\n"
                    ),
                    Some(1)
                ),
                "{}",
                engine.name
            );
            secrets(&project, "  token: { value: canary-new, version_id: v2 }\n");
            let ran = project.run(&["drift", &top]);
            assert_eq!(
                (ran.stdout.lines().last(), ran.status),
                (Some("1 of 1 image drifted: rebake the image that each was built on, and build it again"), Some(3)),
                "{}",
                engine.name
            );
            let ran = project.run(&["drift", "--engine", "--format", "json"]);
            let report: Value = serde_json::from_str(&ran.stdout).unwrap();
            crate::schema::holds(&crate::schema::schema("drift"), &report, "drift");
            let built = |name: &str| {
                let mut images = report["images"].as_array().unwrap().iter();
                images.find(|image| image["image"].as_str().unwrap().contains(name)).unwrap()["built_on_top"].clone()
            };
            assert_eq!((built(&top), built(&base.baked())), (json!(true), Value::Null), "{report}");
        }
    }
}

#[test]
fn a_rebake_pushes_the_new_image_and_prunes_the_old_one_in_the_engine_and_the_registry() {
    let engine = Engine::one();
    let project = Project::with_file(OLD).on(&engine).docker_config(&json!({}));
    let tag = format!("{}/{}", variable("SECRETBAKE_TEST_REGISTRY"), engine.name("rebake-push"));
    engine.remove_later(&tag);
    project.write(
        "deploy.yaml",
        &format!(
            "version: 1\nimage: {{ base: scratch, tags: ['{tag}'] }}\nenv: {{ OWN: '{tag}', TOKEN: {{ secret: token }} }}\n"
        ),
    );
    let old = digest_of(&ok(project.run(&["bake", "deploy.yaml", "--push"])));
    let old_id = engine.id(&tag).unwrap();
    secrets(&project, NEW);
    let ran = ok(project.run(&["rebake", &tag, "--push", "--prune-replaced", "--format", "json"]));
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    crate::schema::holds(&crate::schema::schema("rebake"), &report, "rebake");
    let in_registry = |digest: &str| format!("docker://{}@{digest}", tag.strip_suffix(":1").unwrap());
    assert_eq!(report["removed"], json!([old_id, in_registry(&old)]), "{}", ran.stderr);
    let pushed = report["images"][0]["tags"][0]["pushed"].as_str().unwrap();
    assert_eq!(project.run(&["inspect", &in_registry(pushed)]).status, Some(0));
    assert_eq!(project.run(&["inspect", &in_registry(&old)]).status, Some(1));
    assert_eq!(engine.id(&old_id), None);
}

#[test]
fn a_replaced_image_stays_and_is_said_without_prune_replaced() {
    let engine = Engine::one();
    let project = Project::with_file(OLD).on(&engine);
    let tag = engine.name("rebake-kept");
    project.baked(&format!(
        "version: 1\nimage: {{ base: scratch, tags: ['{tag}'] }}\nenv: {{ TOKEN: {{ secret: token }} }}\n"
    ));
    let old = engine.id(&tag).unwrap();
    secrets(&project, NEW);
    let ran = ok(project.run(&["rebake", &tag]));
    let warning = format!("warning: previous baked image {old} is now untagged and still holds the old secrets\n");
    assert!(ran.stderr.starts_with(&warning), "{}", ran.stderr);
    engine.cli(&["rmi", &old]);
}

/// Returns a project with `oci:out:1`, baked unsealed, `more` under `image:`.
fn unsealed(more: &str) -> (Project, String) {
    let project = Project::with_file(OLD);
    let manifest = format!(
        "version: 1\nimage: {{ base: scratch, tags: ['oci:out:1']{more} }}\nenv: {{ TOKEN: {{ secret: token }} }}\n"
    );
    project.baked(&manifest);
    (project, manifest)
}

const ORG: &str =
    "version: 1\ncredentials:\n  - name: local\n    provider: file\n    path: secrets.yaml\n    default: true\n";

#[test]
fn the_org_file_may_not_allow_a_secret_any_more() {
    let (project, _) = unsealed("");
    secrets(&project, NEW);
    project.write("secretbake.org.yaml", &format!("{ORG}    allow: [\"other-*\"]\n"));
    let ran = project.run(&["rebake", "oci:out:1"]);
    assert_eq!((ran.status, ran.stdout.as_str()), (Some(2), ""));
    assert!(
        ran.stderr.starts_with(
            "oci:out:1: env.TOKEN: the credential `local` may not be used for token\n  hint: it allows other-*: "
        ),
        "{}",
        ran.stderr
    );
}

#[test]
fn an_image_that_says_nothing_of_a_seal_is_sealed_as_the_org_file_says_now() {
    let (project, manifest) = unsealed("");
    secrets(&project, "  token: { value: canary-new, version_id: v2 }\n");
    let recipient = crate::seal::key(&project, "key.txt");
    project.write("secretbake.org.yaml", &format!("{ORG}seal: {{ recipients: [{recipient}] }}\n"));
    let ran = ok(project.run(&["rebake", "oci:out:1"]));
    assert!(ran.closing.ends_with(", sealed"), "{}", ran.closing);
    assert_eq!(project.baked(&manifest).brief(), "unchanged\n");
}

#[test]
fn an_image_whose_manifest_refuses_a_seal_stays_unsealed_unless_the_org_file_requires_one() {
    let (project, manifest) = unsealed(", seal: none");
    secrets(&project, "  token: { value: canary-new, version_id: v2 }\n");
    let recipient = crate::seal::key(&project, "key.txt");
    project.write("secretbake.org.yaml", &format!("{ORG}seal: {{ recipients: [{recipient}] }}\n"));
    let rebaked = digest_of(&ok(project.run(&["rebake", "oci:out:1"])));
    let baked = project.baked(&manifest);
    assert_eq!((digest_of(&baked), baked.brief().as_str()), (rebaked, "unchanged\n"));

    project.write("secretbake.org.yaml", &format!("{ORG}seal: {{ recipients: [{recipient}], required: true }}\n"));
    let ran = project.run(&["rebake", "oci:out:1", "--all"]);
    assert_eq!(ran.status, Some(2));
    assert_eq!(
        ran.stderr,
        "oci:out:1: secretbake.org.yaml requires sealed images\n  hint: give the recipients: --seal-to AGE1|FILE\n"
    );
    let ran = ok(project.run(&["rebake", "oci:out:1", "--seal-to", &recipient]));
    assert!(ran.closing.ends_with(", sealed"), "{}", ran.closing);
}

#[test]
fn an_image_with_its_variables_in_the_config_cannot_be_sealed_by_a_rebake() {
    let (project, _) = unsealed(", inject: config");
    let recipient = crate::seal::key(&project, "key.txt");
    let ran = project.run(&["rebake", "oci:out:1", "--seal-to", &recipient]);
    assert_eq!(
        (ran.stderr.as_str(), ran.status),
        (
            "oci:out:1: variables in the config cannot be sealed\n  \
             hint: bake it from its manifest with `inject: launcher` or `inject: file`\n",
            Some(2)
        )
    );
}

#[test]
fn an_image_that_is_not_sealed_for_those_who_are_to_open_it_is_rebaked_though_its_versions_are_current() {
    let project = Project::with_file("  token: { value: canary, version_id: v1 }\n");
    project.baked("version: 1\nimage: { base: scratch, tags: ['oci:out:1'] }\nenv: { TOKEN: { secret: token } }\n");
    let (one, two) = (crate::seal::key(&project, "one.txt"), crate::seal::key(&project, "two.txt"));
    let run = |arguments: &[&str]| ok(project.run(&[&["rebake", "oci:out:1"], arguments].concat()));
    let would = |recipient: &str| run(&["--dry-run", "--seal-to", recipient]).stdout;
    assert_eq!(would(&one), "oci:out:1: would be rebaked\n  seal  for 1 recipient  is not sealed yet\n");
    let report: Value = serde_json::from_str(&run(&["--seal-to", &one, "--format", "json"]).stdout).unwrap();
    crate::schema::holds(&crate::schema::schema("rebake"), &report, "rebake");
    assert_eq!((&report["images"][0]["seal_for"], &report["images"][0]["status"]), (&json!([one]), &json!("rebaked")));

    assert_eq!(run(&[]).stderr, "current: oci:out:1\n");
    assert_eq!(would(&one), "oci:out:1: current\n");
    assert_eq!(would(&two), "oci:out:1: would be rebaked\n  seal  for 1 recipient  is sealed for others\n");
    run(&["--seal-to", &two]);
    let inspected = project.run(&["inspect", "oci:out:1"]).stdout;
    assert!(inspected.contains(&two) && !inspected.contains(&one), "{inspected}");
}

#[test]
fn the_report_says_why_a_sealed_image_was_baked_again() {
    let project = Project::with_file("  token: canary\n");
    let recipient = crate::seal::key(&project, "key.txt");
    project.write(
        "deploy.yaml",
        &format!(
            "version: 1\nimage: {{ base: scratch, tags: ['oci:out:1'], seal: {{ recipients: [{recipient}] }} }}\n\
             env: {{ TOKEN: {{ secret: token }} }}\n"
        ),
    );
    ok(project.run(&["bake", "deploy.yaml"]));
    for (schema, command) in [("report", ["bake", "deploy.yaml"]), ("rebake", ["rebake", "oci:out:1"])] {
        let ran = ok(project.run(&[&command[..], &["--format", "json"]].concat()));
        let report: Value = serde_json::from_str(&ran.stdout).unwrap();
        crate::schema::holds(&crate::schema::schema(schema), &report, schema);
        assert_eq!(
            report["images"][0]["baked_again"], "the secrets of credential `local` have no versions to compare",
            "{}",
            ran.stdout
        );
    }
}

#[test]
fn a_rebake_replaces_an_archive_as_a_whole_like_a_bake() {
    let (project, _) = unsealed("");
    copy(
        &format!("oci:{}:1", project.path("out").display()),
        &format!("oci-archive:{}:1", project.path("a.tar").display()),
    );
    secrets(&project, NEW);
    let ran = ok(project.run(&["rebake", "oci-archive:a.tar:1", "--tag", "oci-archive:a.tar:2"]));
    assert_eq!(
        ran.stderr,
        "warning: `oci-archive:a.tar:2` was replaced as a whole: it had other images, which are gone\n  \
         cause: an archive holds one image; it had 1\n"
    );
}
