//! "Whoever can pull the image reads nothing": what is in the layers of a sealed image, who opens it, and when it is baked again.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::engine::Engine;
use crate::support::image::TestImage;
use crate::support::moto::Moto;
use crate::support::oci_base::{Oci, oci_archive};
use crate::support::project::Project;
use crate::support::{unique, variable};

const SECRETS: &str = "  token: { value: canary-value-1, version_id: v1 }\n  db: { value: '{\"user\": \"u\", \"password\": \"canary-value-2\"}', version_id: v1 }\n";

/// Makes a key in the project's folder with `age-keygen` and returns its recipient.
pub fn key(project: &Project, name: &str) -> String {
    let path = project.path(name);
    assert!(Command::new("age-keygen").arg("-o").arg(&path).stderr(Stdio::null()).status().unwrap().success());
    let output = Command::new("age-keygen").arg("-y").arg(&path).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Returns the line of a key file that is the key.
pub fn identity(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    text.lines().find(|line| line.starts_with("AGE-SECRET-KEY-1")).unwrap().to_owned()
}

/// What a file of a layer has: mode, owner, group and content.
type Stored = (u32, u64, u64, Vec<u8>);

/// Returns every file of all layers of an image in a layout, the last layer's last.
fn files_of(layout: &Path) -> BTreeMap<String, Stored> {
    let blob =
        |digest: &Value| fs::read(layout.join("blobs").join(digest.as_str().unwrap().replace(':', "/"))).unwrap();
    let json = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
    let index = json(&fs::read(layout.join("index.json")).unwrap());
    let manifest = json(&blob(&index["manifests"][0]["digest"]));
    let mut found = BTreeMap::new();
    for layer in manifest["layers"].as_array().unwrap() {
        let bytes = blob(&layer["digest"]);
        let mut unpacked = Vec::new();
        match bytes.starts_with(&[0x1f, 0x8b]) {
            true => drop(std::io::copy(&mut flate2::read::GzDecoder::new(&bytes[..]), &mut unpacked).unwrap()),
            false => unpacked.extend(&bytes),
        }
        let mut archive = tar::Archive::new(&unpacked[..]);
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = format!("/{}", entry.path().unwrap().display());
            let header = entry.header();
            let (mode, uid, gid) = (header.mode().unwrap(), header.uid().unwrap(), header.gid().unwrap());
            let mut content = Vec::new();
            std::io::copy(&mut entry, &mut content).unwrap();
            found.insert(path, (mode, uid, gid, content));
        }
    }
    found
}

/// Opens with Debian's age; `None` if it refuses.
fn opened(sealed: &[u8], key: &Path) -> Option<Vec<u8>> {
    let mut age = Command::new("age");
    age.args(["-d", "-i"]).arg(key).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut age = age.spawn().unwrap();
    // it may refuse after the header
    let _ = age.stdin.take().unwrap().write_all(sealed);
    let output = age.wait_with_output().unwrap();
    output.status.success().then_some(output.stdout)
}

fn manifest(recipients: &[&str], more: &str) -> String {
    let recipients = recipients.join(", ");
    format!(
        "version: 1\nimage:\n  base: scratch\n  tags: [\"oci:out:1\"]\n  seal: {{ recipients: [{recipients}] }}\n{more}\
         env:\n  LEVEL: info\n  TOKEN: {{ secret: token }}\n  URL:\n    template: \"db://{{{{user}}}}:{{{{password}}}}@h\"\n    with:\n\
         \x20     user: {{ secret: db#user }}\n      password: {{ secret: db#password }}\n\
         files:\n  /tls/key.pem: {{ secret: token, owner: \"7:8\", mode: \"0400\" }}\n  /app/pass: {{ secret: db#password }}\n"
    )
}

const ENV: &[u8] = b"TOKEN=canary-value-1\0URL=db://u:canary-value-2@h\0";

#[test]
fn a_layer_has_age_files_that_each_key_and_nobody_else_opens() {
    let project = Project::with_file(SECRETS);
    let recipients = [key(&project, "one.txt"), key(&project, "two.txt")];
    key(&project, "other.txt");
    let ran = project.baked(&manifest(&[&recipients[0], &recipients[1]], ""));
    assert!(ran.closing.ends_with("2 variables, 2 files from 2 secrets, sealed"), "{}", ran.closing);
    let files = files_of(&project.path("out"));
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "/.secretbake/",
            "/.secretbake/env",
            "/.secretbake/launch",
            "/.secretbake/sealed/",
            "/.secretbake/sealed/0",
            "/.secretbake/sealed/1",
            "/.secretbake/sealed/index",
            "/app/",
            "/tls/",
        ]
    );
    let contents: [(&str, &[u8]); 3] = [("env", ENV), ("sealed/0", b"canary-value-2"), ("sealed/1", b"canary-value-1")];
    for (name, content) in contents {
        let (mode, uid, gid, sealed) = &files[&format!("/.secretbake/{name}")];
        assert_eq!((*mode, *uid, *gid), (0o440, 0, 0), "{name}");
        assert!(sealed.starts_with(b"age-encryption.org/v1\n"), "{name}");
        for key in ["one.txt", "two.txt"] {
            assert_eq!(opened(sealed, &project.path(key)).as_deref(), Some(content), "{name} with {key}");
        }
        assert_eq!(opened(sealed, &project.path("other.txt")), None, "{name} with another key");
    }
    // the directories that the bake makes are the container's user's, who writes the files there
    for directory in ["/app/", "/tls/"] {
        assert_eq!((files[directory].0, files[directory].1, files[directory].2), (0o775, 0, 0), "{directory}");
    }
    assert_eq!(files["/.secretbake/sealed/"].0, 0o755);
    let index = (0o444, 0, 0, b"440 - - /app/pass\x00400 7 8 /tls/key.pem\0".to_vec());
    assert_eq!(files["/.secretbake/sealed/index"], index);
}

#[test]
fn no_blob_config_report_or_cache_has_a_value_or_anything_computed_over_it() {
    let project = Project::with_file(SECRETS);
    let recipient = key(&project, "key.txt");
    project.write("deploy.yaml", &manifest(&[&recipient], ""));
    let report = project.run(&["bake", "deploy.yaml", "--format", "json", "--log", crate::support::canary::TALKATIVE]);
    assert_eq!(report.status, Some(0), "{}", report.stderr);
    let inspected = project.run(&["inspect", "oci:out:1", "--format", "json"]);
    let text = format!("{report:?}{inspected:?}");
    crate::support::canary::is_clean("the report", text.as_bytes());
    assert!(!text.contains(&identity(&project.path("key.txt"))));
    let mut seen = 0;
    for folder in [project.path("out"), project.cache()] {
        for file in crate::leak::files(&folder) {
            crate::support::canary::is_clean(&file.display().to_string(), &fs::read(&file).unwrap());
            seen += 1;
        }
    }
    assert!(seen >= 6, "{seen}");
    for (name, (.., content)) in files_of(&project.path("out")) {
        crate::support::canary::is_clean(&name, &content);
    }
    let report: Value = serde_json::from_str(&report.stdout).unwrap();
    assert_eq!(report["images"][0]["provenance"]["seal"], json!({ "recipients": [recipient] }));
    // the control: without the seal the same search finds the value
    project.baked(&manifest(&[&recipient], "").replace("seal: {", "seal: none # {"));
    let plain = files_of(&project.path("out"));
    assert!(plain["/.secretbake/env"].3 == ENV && plain["/app/pass"].3 == b"canary-value-2");
}

#[test]
fn a_sealed_image_that_is_up_to_date_is_not_rewritten() {
    let moto = Moto::new();
    let (token, db) = (moto.name("token"), moto.name("db"));
    moto.text("token", "canary-value-1");
    moto.text("db", r#"{"user": "u", "password": "canary-value-2"}"#);
    let project = Project::with_moto(&moto);
    let (one, two) = (key(&project, "one.txt"), key(&project, "two.txt"));
    let with = |recipients: &[&str]| {
        manifest(recipients, "")
            .replace("secret: token", &format!("secret: {token}"))
            .replace("secret: db", &format!("secret: {db}"))
    };
    let status = |manifest: &str| project.baked(manifest).brief();
    assert_eq!(status(&with(&[&one])), "baked\n");
    let before = fs::read(project.path("out/index.json")).unwrap();
    assert_eq!(status(&with(&[&one])), "unchanged\n");
    assert!(fs::read(project.path("out/index.json")).unwrap() == before);
    for (what, changed) in [
        ("a new recipient", with(&[&two, &one])),
        ("one recipient less", with(&[&two])),
        ("the mode of a file", with(&[&two]).replace("0400", "0440")),
        ("a plain variable", with(&[&two]).replace("LEVEL: info", "LEVEL: debug")),
        ("another key of a secret", with(&[&two]).replace("#password }", "#user }")),
        ("no seal", with(&[&two]).replace("seal: {", "seal: none # {")),
        ("a seal again", with(&[&two])),
    ] {
        assert_eq!(status(&changed), "baked\n", "{what}");
        assert_eq!(status(&changed), "unchanged\n", "{what}, again");
    }
    assert_eq!(status(&with(&[&two, &one])), "baked\n");
    assert_eq!(status(&with(&[&one, &two, &one])), "unchanged\n", "the order of the recipients");
    moto.rotate("token", "canary-value-1");
    assert_eq!(status(&with(&[&two, &one])), "baked\n", "a new version");
    assert_eq!(project.run(&["drift", "oci:out:1"]).status, Some(0));
    moto.rotate("db", r#"{"user": "u", "password": "canary-value-3"}"#);
    assert_eq!(project.run(&["drift", "oci:out:1"]).status, Some(3));
}

#[test]
fn a_sealed_index_that_is_up_to_date_is_not_rewritten() {
    let project = Project::with_file(SECRETS);
    let recipient = key(&project, "key.txt");
    let image = |architecture: &str| Oci {
        config: json!({ "os": "linux", "architecture": architecture }),
        layers: &[],
        manifest: json!({}),
    };
    let (base, ..) = oci_archive("sbtest/base:1", &[image("amd64"), image("arm64")]);
    fs::write(project.path("base.tar"), base).unwrap();
    let bake = |entry: &str| {
        project.write(
            "deploy.yaml",
            &format!(
                "version: 1\nimage: {{ base: 'oci-archive:base.tar', tags: ['oci:out:1'], seal: {{ recipients: [{recipient}] }} }}\n\
                 env: {{ TOKEN: {{ secret: token }}, {entry} }}\n"
            ),
        );
        let ran = project.run(&["bake", "deploy.yaml", "--all-platforms"]);
        assert_eq!(ran.status, Some(0), "{}", ran.stderr);
        ran.brief()
    };
    assert_eq!(bake("LEVEL: info"), "baked\n");
    assert_eq!(bake("LEVEL: info"), "unchanged\n");
    assert_eq!(bake("LEVEL: debug"), "baked\n");
    assert_eq!(bake("LEVEL: debug"), "unchanged\n");
}

#[test]
fn secrets_without_versions_are_sealed_again_and_the_last_line_says_why() {
    let project = Project::with_file("  token: canary-value-1\n");
    let recipient = key(&project, "key.txt");
    let manifest = format!(
        "version: 1\nimage: {{ base: scratch, tags: [\"oci:out:1\"], seal: {{ recipients: [{recipient}] }} }}\nenv: {{ TOKEN: {{ secret: token }} }}\n"
    );
    let first = project.baked(&manifest);
    assert_eq!(first.closing, "baked oci:out:1 in [TIME]: 1 variable from 1 secret, sealed");
    let second = project.baked(&manifest);
    assert_eq!(
        second.closing,
        "baked oci:out:1 in [TIME]: 1 variable from 1 secret, sealed; baked again, since the secrets of credential `local` have no \
         versions to compare"
    );
}

#[test]
fn every_engine_keeps_it_and_its_container_has_the_variables_and_files() {
    let config = json!({ "User": "app", "Env": ["PATH=/bin", "TOKEN=old"], "Cmd": ["/bin/sh"] });
    for engine in Engine::all() {
        let base = engine.load(&TestImage::busybox(config.clone()).directory("app", 0o700, (1000, 1000)));
        let project = Project::with_file(SECRETS).on(&engine);
        let recipient = key(&project, "key.txt");
        let manifest = format!(
            "version: 1\nimage:\n  base: {}\n  tags: [{}]\n  seal: {{ recipients: [{recipient}] }}\n\
             env: {{ TOKEN: {{ secret: token }}, LEVEL: info }}\nfiles: {{ /app/key: {{ secret: db#password }} }}\n",
            base.name,
            base.baked()
        );
        assert_eq!(project.baked(&manifest).brief(), "baked\n", "{}", engine.name);
        assert_eq!(project.baked(&manifest).brief(), "unchanged\n", "{}", engine.name);
        let changed = manifest.replace("info", "debug");
        assert!(project.baked(&changed).closing.starts_with("baked "), "{}", engine.name);

        let given = format!("SECRETBAKE_KEY={}", identity(&project.path("key.txt")));
        let look = "echo $TOKEN $LEVEL ${SECRETBAKE_KEY-unset}; ls -ln /app/key | cut -c 1-10; cat /app/key";
        let shell = [&*base.baked(), "sh", "-c", look];
        let out = engine.run(&[&["-e", &given][..], &shell].concat());
        let expected = "canary-value-1 debug unset\n-r--r-----\ncanary-value-2";
        assert_eq!(String::from_utf8(out).unwrap(), expected, "{}", engine.name);

        // a root file system that nobody can write to, and another user
        let run = ["run", "--rm", "--network", "none", "--read-only"];
        // Docker keeps the mode of the directory below, and Podman takes no owner
        let tmpfs = if engine.is_podman() { "/app:mode=1777" } else { "/app:uid=1234" };
        // by its exit status: Podman may lose what a container prints last
        let holds = "test \"$TOKEN\" = canary-value-1 && test \"$(cat /app/key)\" = canary-value-2";
        let mount = ["--user", "1234:0", "--tmpfs", tmpfs, "-e", &given];
        engine.cli(&[&run[..], &mount, &[&base.baked(), "sh", "-c", holds]].concat());
        for arguments in [[&run[..], &["-e", &given], &shell].concat(), [&run[..], &shell].concat()] {
            let output = engine.try_cli(&arguments);
            assert!(output.stdout.is_empty(), "{}: {arguments:?}", engine.name);
            // Podman may lose the end of a container that ends at once, its status too
            let said = String::from_utf8_lossy(&output.stderr);
            let says_why = output.status.code() == Some(125) && said.contains("secretbake launcher: ");
            assert!(says_why || engine.is_podman(), "{}: {arguments:?}: {said}", engine.name);
        }
    }
}

#[test]
fn a_container_s_user_writes_its_files_to_a_tmpfs_or_a_volume_of_its_own() {
    for engine in Engine::all() {
        for (user, uid) in [("1234", "1234"), ("app", "1000")] {
            let config = json!({ "User": user, "Env": ["PATH=/bin"], "Cmd": ["/bin/sh"] });
            let image = TestImage::busybox(config).directory("srv", 0o755, (0, 0)).directory("srv/tls", 0o755, (0, 0));
            let base = engine.load(&image);
            let project = Project::with_file(SECRETS).on(&engine);
            let recipient = key(&project, "key.txt");
            let bake = |files: &str| {
                project.baked(&format!(
                    "version: 1\nimage:\n  base: {}\n  tags: [{}]\n  seal: {{ recipients: [{recipient}] }}\n\
                     env: {{ TOKEN: {{ secret: token }} }}\nfiles: {{ {files}: {{ secret: db#password }} }}\n",
                    base.name,
                    base.baked()
                ));
            };
            let given = format!("SECRETBAKE_KEY={}", identity(&project.path("key.txt")));
            let works = |arguments: &[&str], path: &str| {
                // Podman may lose what a container prints last, and the status of one that ends at once
                let shows = format!("cat {path}; sleep 1");
                let before = ["run", "--rm", "--network", "none", "-e", &given];
                let output = engine.try_cli(&[&before[..], arguments, &[&base.baked(), "sh", "-c", &shows]].concat());
                let said = String::from_utf8_lossy(&output.stderr);
                match output.stdout == b"canary-value-2" {
                    true => Ok(()),
                    false => Err(format!("{} as {user}: {arguments:?}: {said}", engine.name)),
                }
            };
            bake("/app/tls/key");
            works(&[], "/app/tls/key").unwrap();
            works(&["--read-only", "--tmpfs", "/app/tls", "--group-add", "0"], "/app/tls/key").unwrap();
            works(&["--read-only", "--tmpfs", "/app/tls", "--user", "4321:0"], "/app/tls/key").unwrap();
            if user == "1234" {
                works(&["--read-only", "--tmpfs", "/app/tls"], "/app/tls/key").unwrap();
            }
            // a directory that the base has keeps its owner and its mode
            bake("/srv/tls/key");
            works(&["--read-only", "--tmpfs", "/srv/tls"], "/srv/tls/key").unwrap_err();
            let volume = unique("sbtest-tls");
            let of_user = format!("o=uid={uid},mode=0700");
            let make = ["volume", "create", "--opt", "type=tmpfs", "--opt", "device=tmpfs", "--opt", &of_user, &volume];
            engine.cli(&make);
            works(&["--read-only", "--volume", &format!("{volume}:/srv/tls")], "/srv/tls/key").unwrap();
            engine.cli(&["volume", "rm", "-f", &volume]);
        }
    }
}

#[test]
fn a_health_check_writes_no_file() {
    let engine = Engine::docker();
    let config = json!({ "Cmd": ["/bin/sh"], "Healthcheck": { "Test": ["CMD-SHELL", "true"] } });
    let base = engine.load(&TestImage::busybox(config));
    let project = Project::with_file(SECRETS).on(&engine);
    let recipient = key(&project, "key.txt");
    project.baked(&format!(
        "version: 1\nimage: {{ base: {}, tags: [{}], seal: {{ recipients: [{recipient}] }} }}\nenv: {{ TOKEN: {{ secret: token }} }}\n",
        base.name,
        base.baked()
    ));
    let test = engine.inspect(&base.baked())["Config"]["Healthcheck"]["Test"].clone();
    assert_eq!(test, json!(["CMD", "/.secretbake/launch", "--env-only", "/bin/sh", "-c", "true"]));
}

#[test]
fn without_a_launcher_the_files_lie_sealed_at_their_paths() {
    let project = Project::with_file(SECRETS);
    let recipient = key(&project, "key.txt");
    project.write("deploy.yaml", &manifest(&[&recipient], "  inject: file\n  path: /app/.env\n  format: dotenv\n"));
    let checked = project.run(&["check", "deploy.yaml"]);
    assert_eq!(
        checked.stderr,
        "deploy.yaml: sealed with `inject: file`, opened by `age -d -i KEYFILE FILE`; no launcher opens them\n\
         checked 1 manifest: no problems\n"
    );
    assert_eq!(project.run(&["bake", "deploy.yaml"]).status, Some(0));
    let again = project.run(&["bake", "deploy.yaml"]).closing;
    assert!(again.ends_with("sealed; baked again, since the image does not say env.LEVEL"), "{again}");
    let files = files_of(&project.path("out"));
    let key = project.path("key.txt");
    let env = "LEVEL='info'\nTOKEN='canary-value-1'\nURL='db://u:canary-value-2@h'\n";
    assert_eq!(opened(&files["/app/.env"].3, &key).as_deref(), Some(env.as_bytes()));
    assert_eq!(opened(&files["/tls/key.pem"].3, &key).as_deref(), Some(&b"canary-value-1"[..]));
    assert_eq!((files["/tls/key.pem"].0, files["/tls/key.pem"].1), (0o400, 7));
    assert!(!files.contains_key("/.secretbake/launch"));
}

#[test]
fn there_is_an_env_file_for_secret_variables_and_for_a_launcher_that_opens_files() {
    let project = Project::with_file(SECRETS);
    let recipient = key(&project, "key.txt");
    let files = "files: { /app/key: { secret: token, owner: \"0:0\" } }";
    for (content, inject, expected) in [
        ("env: { TOKEN: { secret: token } }", "launcher", vec!["/.secretbake/env"]),
        (files, "launcher", vec!["/.secretbake/env", "/.secretbake/sealed/0", "/.secretbake/sealed/index"]),
        ("env: { LEVEL: info }", "launcher", vec![]),
        (files, "file, path: /app/.env, format: dotenv", vec!["/app/.env", "/app/key"]),
    ] {
        let _ = fs::remove_dir_all(project.path("out"));
        project.baked(&format!(
            "version: 1\nimage: {{ base: scratch, tags: [\"oci:out:1\"], inject: {inject}, owner: \"0:0\", seal: {{ recipients: [{recipient}] }} }}\n\
             {content}\n"
        ));
        let there = files_of(&project.path("out"));
        let of_both = |path: &&str| !path.ends_with('/') && *path != "/.secretbake/launch";
        let there: Vec<&str> = there.keys().map(String::as_str).filter(of_both).collect();
        assert_eq!(there, expected, "{content}");
    }
}

#[test]
fn the_plan_and_the_image_say_for_whom() {
    let project = Project::with_file(SECRETS);
    let (one, two) = (key(&project, "one.txt"), key(&project, "two.txt"));
    let mut sorted = [&one, &two];
    sorted.sort();
    let lines = format!("  sealed for: {}\n  sealed for: {}\n", sorted[0], sorted[1]);
    project.write("deploy.yaml", &manifest(&[&one, &two], ""));
    let plan = project.run(&["bake", "deploy.yaml", "--dry-run"]).stdout;
    assert!(plan.contains(&lines), "{plan}");
    assert!(plan.contains("    /app/pass = secret db#password, written at start\n"), "{plan}");
    let plan = project.run(&["bake", "deploy.yaml", "--dry-run", "--format", "json"]).stdout;
    let plan: Value = serde_json::from_str(&plan).unwrap();
    crate::schema::holds(&crate::schema::schema("plan"), &plan, "the plan");
    assert_eq!(plan["images"][0]["seal"], json!({ "recipients": sorted }));

    // the command line's word is the last
    project.write("recipients.txt", &format!("# the deployment's\n{two} # the second\n\n"));
    let ran = project.run(&["bake", "deploy.yaml", "--seal-to", "recipients.txt"]);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    let seen = project.run(&["inspect", "oci:out:1"]).stdout;
    let expected = format!("inject      launcher\nsealed for  {two}\nenv\n");
    assert!(seen.contains(&expected), "{seen}");
    let seen = project.run(&["inspect", "oci:out:1", "--format", "json"]).stdout;
    let seen: Value = serde_json::from_str(&seen).unwrap();
    crate::schema::holds(&crate::schema::schema("inspect"), &seen, "what inspect prints");
}

/// Adds `seal:` to the project's org file.
fn org(project: &Project, seal: &str) {
    let text = fs::read_to_string(project.path("secretbake.org.yaml")).unwrap();
    let text = text.lines().filter(|line| !line.starts_with("seal:")).collect::<Vec<_>>().join("\n");
    project.write("secretbake.org.yaml", &format!("{text}\nseal: {seal}\n"));
}

const PLAIN: &str = "version: 1\nimage: { base: scratch, tags: [\"oci:out:1\"] }\nenv: { TOKEN: { secret: token } }\n";

#[test]
fn the_org_file_says_for_whom_where_a_manifest_says_nothing() {
    let project = Project::with_file(SECRETS);
    let (org_key, own) = (key(&project, "org.txt"), key(&project, "own.txt"));
    org(&project, &format!("{{ recipients: [{org_key}] }}"));
    let plan = |manifest: &str| {
        project.write("deploy.yaml", manifest);
        let ran = project.run(&["bake", "deploy.yaml", "--dry-run"]);
        let sealed: Vec<String> =
            ran.stdout.lines().filter(|line| line.contains("sealed")).map(str::to_owned).collect();
        format!("{}{}", ran.stderr, sealed.join("\n"))
    };
    let dry = "dry run: 1 image, 1 secret to read; nothing was read or written\n";
    assert_eq!(plan(PLAIN), format!("{dry}  sealed for: {org_key}"));
    let says = |seal: &str| PLAIN.replace("] }\nenv", &format!("], seal: {seal} }}\nenv"));
    assert_eq!(plan(&says(&format!("{{ recipients: [{own}] }}"))), format!("{dry}  sealed for: {own}"));
    assert_eq!(plan(&says("none")), dry);
    // nothing secret, nothing to seal
    let nothing = PLAIN.replace("{ secret: token }", "plain");
    assert_eq!(plan(&nothing), dry.replace("1 secret", "0 secrets"));
    assert_eq!(
        plan(&PLAIN.replace("] }\nenv", "], inject: config }\nenv")),
        "deploy.yaml:1:1: image.inject: variables in the config cannot be sealed\n  \
         hint: write `inject: launcher` or `inject: file` under `image:`, or `seal: none`\n"
    );

    org(&project, &format!("{{ recipients: [{org_key}], required: true }}"));
    assert_eq!(
        plan(&says("none")),
        "deploy.yaml:2:52: image.seal: secretbake.org.yaml requires sealed images\n  \
         hint: remove `seal: none`, or write `seal: { recipients: [age1...] }`\n"
    );
    org(&project, "required");
    assert_eq!(plan(PLAIN), format!("{dry}  sealed for: (given by --seal-to)"));
    let ran = project.run(&["bake", "deploy.yaml"]);
    assert_eq!(
        (ran.status, &*ran.stderr),
        (
            Some(2),
            "deploy.yaml:1:1: image.seal: secretbake.org.yaml requires sealed images, and nothing says for whom\n  \
             hint: write `seal: { recipients: [age1...] }` under `image:`, or give --seal-to\n"
        )
    );
    assert_eq!(project.run(&["bake", "deploy.yaml", "--seal-to", &own]).status, Some(0));
}

#[test]
fn what_is_no_recipient_is_refused_and_never_repeated() {
    let project = Project::with_file(SECRETS);
    let recipient = key(&project, "key.txt");
    let secret = identity(&project.path("key.txt"));
    let says = |seal: &str| PLAIN.replace("] }\nenv", &format!("], seal: {seal} }}\nenv"));
    let (typed, last) = recipient.split_at(recipient.len() - 1);
    let typed = format!("{typed}{}", if last == "q" { "p" } else { "q" });
    let ssh = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIcanary-value-1";
    let list = format!("{{ recipients: [{typed}, {secret}, \"{ssh}\", age1yubikey1canary, hunter2] }}");
    project.write("deploy.yaml", &says(&list));
    let ran = project.run(&["check", "deploy.yaml"]);
    assert_eq!(ran.status, Some(2));
    let lines: Vec<&str> =
        ran.stderr.lines().map(|line| line.split_once("recipients[").map_or(line, |(_, rest)| rest)).collect();
    assert_eq!(
        lines,
        [
            "0]: not an age recipient",
            "4]",
            "  hint: `age-keygen -o key.txt` makes a key and prints its public key, age1…; copy the whole of it",
            "1]: a secret key, not a recipient",
            "  hint: make a new key with `age-keygen -o key.txt`, since this one has been shown, and write its public key, age1…",
            "2]: an SSH key, which no container can open with",
            "  hint: make a key with `age-keygen -o key.txt` and write its public key, age1…",
            "3]: a recipient of an age plugin or of another kind than X25519, which no container can open with",
            "  hint: make a key with `age-keygen -o key.txt` and write its public key, age1…",
            "5 errors in 1 file",
        ]
    );
    org(&project, &format!("{{ recipients: [{secret}] }}"));
    let of_org = project.run(&["check", "deploy.yaml"]);
    fs::remove_file(project.path("secretbake.org.yaml")).unwrap();
    project.write("deploy.yaml", PLAIN);
    let of_option =
        project.run(&["bake", "deploy.yaml", "--seal-to", &secret, "--seal-to", "key.txt", "--seal-to", "none.txt"]);
    assert_eq!(
        (of_option.status, &*of_option.stderr),
        (
            Some(2),
            "error: --seal-to: a secret key, not a recipient\n  hint: make a new key with `age-keygen -o key.txt`, since this one has \
             been shown, and write its public key, age1…\n\
             key.txt:3:1: a secret key, not a recipient\n  hint: a file of recipients has public keys only: `age-keygen -y \
             KEYFILE` prints them\n\
             error: cannot read the recipients in none.txt: No such file or directory (os error 2)\n  hint: give a recipient, \
             age1..., or a file with one on each line\n\
             3 errors in 1 file\n"
        )
    );
    for wrong in ["yes", "[]", "{}", "{ recipients: [] }", "{ recipient: x }"] {
        project.write("deploy.yaml", &says(wrong));
        let ran = project.run(&["check", "deploy.yaml"]);
        assert!(ran.status == Some(2) && ran.stderr.contains("image.seal"), "{wrong}: {}", ran.stderr);
    }
    let all = format!("{ran:?}{of_org:?}{of_option:?}");
    for shown in [&*secret, &secret.to_lowercase(), "hunter2", "canary"] {
        assert!(!all.contains(shown), "{shown}");
    }
}

#[test]
fn an_architecture_that_no_sealing_launcher_is_for_is_refused() {
    let project = Project::with_file(SECRETS);
    let recipient = key(&project, "key.txt");
    let image = unique("riscv");
    let archive = project.path("base.tar");
    TestImage::busybox(json!({})).for_architecture("riscv64").write(&format!("sbtest/{image}:1"), &archive);
    let manifest = PLAIN.replace("base: scratch", "base: \"docker-archive:base.tar\"");
    let ran = project.bake(&manifest.replace("] }\nenv", &format!("], seal: {{ recipients: [{recipient}] }} }}\nenv")));
    assert!(ran.stderr.contains("there is a sealing launcher for linux/amd64 and linux/arm64 only"), "{}", ran.stderr);
}

/// Writes every file of all layers into a folder.
fn unpack(layout: &Path, folder: &Path) {
    for (name, (.., content)) in files_of(layout).into_iter().filter(|(name, _)| !name.ends_with('/')) {
        let path = folder.join(&name[1..]);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

/// Returns how many secrets PyPI's detect-secrets and trufflehog3 find in a folder.
fn found_by_scanners(folder: &Path) -> [usize; 2] {
    let python = variable("SECRETBAKE_TEST_SCANNERS");
    let scan = |program: &str, arguments: &[&str]| -> Value {
        let mut command = Command::new(&python);
        let output = command.args(["-m", program]).args(arguments).arg(".").current_dir(folder).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{program}: {said}"))
    };
    let detected = scan("detect_secrets", &["scan", "--all-files"]);
    let detected = detected["results"].as_object().unwrap().values().map(|found| found.as_array().unwrap().len()).sum();
    let hunted = scan("trufflehog3", &["--no-history", "--format", "JSON"]);
    [detected, hunted.as_array().unwrap().len()]
}

#[test]
fn scanners_find_nothing_in_the_layers_and_find_the_same_values_without_a_seal() {
    let token = format!("ghp_{}", "0a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R");
    let project = Project::with_file(&format!("  token: {token}\n  aws: AKIAIOSFODNN7EXAMPLA\n"));
    let recipient = key(&project, "key.txt");
    let manifest = format!(
        "version: 1\nimage:\n  base: scratch\n  tags: [\"oci:out:1\"]\n  seal: {{ recipients: [{recipient}] }}\nenv:\n  TOKEN: {{ secret: token }}\n  \
         URL: {{ template: \"https://u:{{{{t}}}}@h\", with: {{ t: {{ secret: token }} }} }}\nfiles:\n  /app/aws: {{ secret: aws }}\n"
    );
    project.baked(&manifest);
    unpack(&project.path("out"), &project.path("sealed"));
    project.baked(&manifest.replace("seal: {", "seal: none # {"));
    unpack(&project.path("out"), &project.path("plain"));
    assert_eq!(found_by_scanners(&project.path("sealed")), [0, 0]);
    let found = found_by_scanners(&project.path("plain"));
    assert!(found.iter().all(|found| *found > 0), "{found:?}");
}

#[test]
fn another_implementation_of_age_opens_it_and_not_with_another_key() {
    let folder = variable("SECRETBAKE_TEST_AGE_ENCRYPTION");
    if folder.is_empty() {
        // npm is no part of Debian's small installation, and the tests do not install it
        let why = "this machine has no npm, so nothing to run age-encryption with";
        let _ = writeln!(std::io::stderr(), "left out: {why}");
        return;
    }
    let project = Project::with_file(SECRETS);
    let recipient = key(&project, "key.txt");
    key(&project, "other.txt");
    project.baked(&manifest(&[&recipient], ""));
    fs::write(project.path("env.age"), &files_of(&project.path("out"))["/.secretbake/env"].3).unwrap();
    let script = "import(process.argv[1]).then(async ({ Decrypter }) => { const age = new Decrypter(); age.addIdentity(process.argv[2]); \
                  process.stdout.write(await age.decrypt(require('fs').readFileSync(process.argv[3]))) })";
    let module = Path::new(&folder).join("node_modules/age-encryption/dist/index.js");
    let open = |key: &str| {
        let mut node = Command::new("node");
        let key = identity(&project.path(key));
        node.args(["-e", script]).arg(&module).arg(key).arg(project.path("env.age")).output().unwrap()
    };
    let opened = open("key.txt");
    assert!(opened.stdout == ENV, "{}", String::from_utf8_lossy(&opened.stderr));
    let refused = open("other.txt");
    assert!(!refused.status.success() && refused.stdout.is_empty());
}

#[test]
fn an_image_without_a_shell_gets_its_variables_and_neither_its_program_nor_its_files_the_key() {
    for engine in Engine::all() {
        let image = TestImage::empty(json!({ "Entrypoint": ["/busybox"], "Cmd": ["env"] }));
        let base = engine.load(&image.file("busybox", 0o755, &crate::support::image::busybox()));
        let project = Project::with_file(SECRETS).on(&engine);
        let recipients = [key(&project, "one.txt"), key(&project, "two.txt")].join(", ");
        project.baked(&format!(
            "version: 1\nimage: {{ base: {}, tags: [{}], seal: {{ recipients: [{recipients}] }} }}\nenv: {{ TOKEN: {{ secret: token }} }}\n",
            base.name,
            base.baked()
        ));
        // one way after the other to give the key
        let folder = project.path("");
        let mount = format!("{}:/keys:ro", folder.display());
        let at_the_usual_place = format!("{}:/run/secrets/secretbake-key:ro", project.path("two.txt").display());
        let given = format!("SECRETBAKE_KEY={}", identity(&project.path("one.txt")));
        for (arguments, secret) in [
            (&["-e", &*given][..], "one.txt"),
            (&["-v", &mount, "-e", "SECRETBAKE_KEY_FILE=/keys/two.txt"], "two.txt"),
            (&["-v", &at_the_usual_place], "two.txt"),
        ] {
            // that engine sees no folder of this machine
            if engine.name == "containerd" && arguments.contains(&"-v") {
                continue;
            }
            let out = String::from_utf8(engine.run(&[arguments, &[&base.baked()]].concat())).unwrap();
            assert!(out.lines().any(|line| line == "TOKEN=canary-value-1"), "{}: {arguments:?}: {out}", engine.name);
            assert!(!out.contains(&identity(&project.path(secret))), "{}: {out}", engine.name);
        }
    }
}

#[test]
fn both_architectures_have_their_launcher_and_only_a_sealed_image_the_sealing_one() {
    let project = Project::with_file(SECRETS);
    let recipient = key(&project, "key.txt");
    let sealed = format!("], seal: {{ recipients: [{recipient}] }} }}\nenv");
    for (architecture, name) in [("amd64", "x86_64"), ("arm64", "aarch64")] {
        let archive = project.path("base.tar");
        TestImage::empty(json!({})).for_architecture(architecture).file("f", 0o644, b"").write("sbtest/b:1", &archive);
        for (end, launcher) in [("] }\nenv", name.to_owned()), (sealed.as_str(), format!("sealing-{name}"))] {
            let manifest = PLAIN
                .replace("base: scratch", "base: \"docker-archive:base.tar\"")
                .replace("oci:out", &format!("oci:{launcher}"));
            project.baked(&manifest.replace("] }\nenv", end));
            let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/image/launcher").join(&launcher);
            let files = files_of(&project.path(&launcher));
            assert!(files["/.secretbake/launch"].3 == fs::read(program).unwrap(), "{launcher}");
            assert_eq!(files["/.secretbake/launch"].0, 0o755);
        }
    }
}
