//! "Which of all that runs is due?" `drift` for repositories, engines, clusters and files.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::canary::{TALKATIVE, is_clean};
use crate::support::engine::Engine;
use crate::support::image::{TestImage, digest};
use crate::support::moto::Moto;
use crate::support::project::{Project, Ran};
use crate::support::skopeo::{copy, raw};
use crate::support::stub::{Reply, Request, Stub};
use crate::support::{unique, variable};

const SECRETS: &str =
    "  db: { value: canary-value-1, version_id: v1 }\n  api: { value: canary-value-2, version_id: v1 }\n";

fn registry() -> String {
    variable("SECRETBAKE_TEST_REGISTRY")
}

/// Bakes one secret to a name.
fn bake(project: &Project, secret: &str, name: &str) {
    project.baked(&format!(
        "version: 1\nimage: {{ base: scratch, tags: [\"{name}\"], inject: config }}\nenv:\n  TOKEN: {{ secret: {secret} }}\n"
    ));
}

/// Returns a project with the repository `NAME:db-prod`, `:api-prod`, `:api-dev`, `:copy-prod` (of the first) and the plain `:base-prod`.
fn project() -> (Project, String) {
    let project = Project::with_file(SECRETS);
    let name = format!("docker://{}/sbtest/{}", registry(), unique("fleet"));
    for (secret, tag) in [("db", "db-prod"), ("api", "api-prod"), ("api", "api-dev")] {
        bake(&project, secret, &format!("{name}:{tag}"));
    }
    copy(&format!("{name}:db-prod"), &format!("{name}:copy-prod"));
    let archive = project.path("base.tar");
    TestImage::empty(json!({})).write("x:1", &archive);
    copy(&format!("docker-archive:{}", archive.display()), &format!("{name}:base-prod"));
    (project, name)
}

fn rotate_db(project: &Project) {
    project.write("secrets.yaml", &format!("version: 1\nsecrets:\n{}", SECRETS.replacen("v1", "v2", 1)));
}

/// Runs drift with a text as its standard input.
fn with_input(project: &Project, arguments: &[&str], input: &str) -> Ran {
    let mut child = project.command(arguments);
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes()).unwrap();
    Ran::from_output(child.wait_with_output().unwrap())
}

#[test]
fn the_tags_of_a_repository_are_grouped_by_what_is_to_be_done() {
    let (project, name) = project();
    let ran = project.run(&["drift", &name, "--tags", "*-prod"]);
    let current = format!("current:\n  {name}:api-prod\n  {name}:copy-prod\n  {name}:db-prod\n");
    assert_eq!(
        (ran.stdout, ran.stderr.as_str(), ran.status),
        (current + "not baked by secretbake: 1 image\n", "", Some(0))
    );

    rotate_db(&project);
    let relay = Stub::before(&registry(), |_, _| None);
    let name = name.replace(&registry(), &relay.host());
    let ran = project.run(&["drift", &name, "--tags", "*-prod"]);
    let row = "    TOKEN  secret db with local  rotated: baked v1, AWSCURRENT is v2\n";
    assert_eq!(
        ran.stdout,
        format!(
            "rebake:\n  {name}:copy-prod\n{row}  {name}:db-prod\n{row}current:\n  {name}:api-prod\n\
             not baked by secretbake: 1 image\n2 of 4 images drifted: \
             run secretbake rebake {name}:copy-prod {name}:db-prod\n"
        )
    );
    assert_eq!((ran.stderr.as_str(), ran.status), ("", Some(3)));
    // the config that two tags have is read once
    let lines: Vec<String> = relay.requests().into_iter().map(|request| request.line).collect();
    let count = |what: &str| lines.iter().filter(|line| line.contains(what)).count();
    assert_eq!((count("/tags/list"), count("/manifests/"), count("/blobs/"), lines.len()), (1, 4, 3, 8), "{lines:#?}");
}

#[test]
fn tags_need_a_repository() {
    let project = Project::with_file(SECRETS);
    for image in ["crew", "docker://localhost:5000/crew:1", "oci:out"] {
        let ran = project.run(&["drift", image, "--tags", "*"]);
        assert_eq!(
            (ran.stderr, ran.status),
            (
                format!(
                    "error: --tags chooses among the tags of a repository, and {image} is not one\n  \
                     hint: write it as docker://HOST/REPO, without a tag or digest\n"
                ),
                Some(2)
            )
        );
    }
    let ran = project.run(&["drift", "--from", "helm", "x"]);
    assert_eq!(
        (ran.stderr.as_str(), ran.status),
        (
            "error: --from helm is not a format\n  hint: write --from k8s FILE, --from compose FILE or --from ecs FILE\n",
            Some(2)
        )
    );
    assert_eq!(project.run(&["drift"]).status, Some(2));
}

#[test]
fn who_names_no_tag_that_there_is_or_no_image_at_all_is_told_what_to_write() {
    let (project, name) = project();
    let bare = project.run(&["drift", &name]);
    assert_eq!(bare.status, Some(1));
    assert!(
        bare.stderr.ends_with("\n  hint: to check all tags of the repository, add --tags '*'\n"),
        "{}",
        bare.stderr
    );
    let none = project.run(&["drift", &name, "--tags", "x-*"]);
    assert_eq!(
        (none.stderr.as_str(), none.stdout.as_str(), none.status),
        (
            &*format!(
                "error: no tag of {name} matches x-*\n  \
                 hint: check the pattern: `*` is any characters, and alone matches every tag\n"
            ),
            "no image was found\n",
            Some(1)
        )
    );
    let nothing = project.run(&["drift"]);
    assert_eq!(
        (nothing.stderr.as_str(), nothing.status),
        (
            "error: no image to check\n  hint: name images, or find them with --engine, --running or --from FORMAT FILE\n",
            Some(2)
        )
    );
}

#[test]
fn an_image_without_a_tag_is_to_be_removed() {
    let engine = Engine::one();
    let project = Project::with_file(SECRETS).on(&engine);
    let tag = engine.name("untagged");
    let bake = |version: &str| {
        project.write("secrets.yaml", &format!("version: 1\nsecrets:\n  db: {{ value: v, version_id: {version} }}\n"));
        bake(&project, "db", &tag);
        engine.id(&tag).unwrap()
    };
    let (old, _) = (bake(&unique("v")), bake("now"));
    // other tests have images there, too
    let ran = project.run(&["drift", "--engine", "--format", "json"]);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    crate::schema::holds(&crate::schema::schema("drift"), &report, "drift");
    let found = |name: &str| report["images"].as_array().unwrap().iter().find(|image| image["image"] == name).unwrap();
    assert_eq!((&found(&old)["untagged"], &found(&old)["status"]), (&json!(true), &json!("drifted")));
    assert_eq!((&found(&tag)["untagged"], &found(&tag)["status"]), (&json!(null), &json!("current")));
    let text = project.run(&["drift", "--engine"]).stdout;
    let removed = text.split_once("remove:\n").unwrap_or_else(|| panic!("{text}")).1;
    assert!(removed.contains(&format!("  {old}\n    TOKEN  ")), "{text}");
    assert!(text.contains("image prune --filter label=dev.secretbake.provenance\n"), "{text}");
    engine.cli(&["rmi", &old]);
}

#[test]
fn one_secret_is_asked_the_other_way_round() {
    let (project, name) = project();
    rotate_db(&project);
    let ran = project.run(&["drift", &name, "--tags", "*", "--secret", "api"]);
    let row = "    TOKEN  secret api with local  current: version v1\n";
    assert_eq!(
        (ran.stdout, ran.stderr.as_str(), ran.status),
        (format!("current:\n  {name}:api-dev\n{row}  {name}:api-prod\n{row}"), "", Some(0))
    );
    let ran = project.run(&["drift", &name, "--tags", "*-dev", "--secret", "db"]);
    assert_eq!((ran.stdout.as_str(), ran.status), ("no image holds the secret db\n", Some(0)));
}

#[test]
fn a_cluster_says_what_runs_its_images() {
    let (project, name) = project();
    rotate_db(&project);
    let image = |tag: &str| format!("{}:{tag}", name.strip_prefix("docker://").unwrap());
    let running = digest(raw(&format!("{name}:api-dev")).as_bytes());
    let objects = json!({ "kind": "List", "items": [
        { "kind": "Deployment", "metadata": { "name": "web", "namespace": "prod" }, "spec": { "template": { "spec": {
            "initContainers": [{ "name": "migrate", "image": image("db-prod") }],
            "containers": [{ "name": "api", "image": image("db-prod") }, { "name": "side", "image": image("base-prod") }] } } } },
        { "kind": "Pod", "metadata": { "name": "web-1", "namespace": "prod" },
          "spec": { "containers": [{ "name": "api", "image": image("moved") }] },
          "status": { "phase": "Running", "containerStatuses": [
              { "name": "api", "imageID": format!("{}@{running}", image("x").trim_end_matches(":x")) }] } },
    ] });
    let drift =
        |format: &str| with_input(&project, &["drift", "--from", "k8s", "-", "--format", format], &objects.to_string());
    let ran = drift("text");
    let short = &running[.."sha256:".len() + 12];
    assert_eq!(
        ran.stdout,
        format!(
            "rebake:\n  {name}:db-prod\n      Deployment prod/web (api), Deployment prod/web (migrate)\n    \
             TOKEN  secret db with local  rotated: baked v1, AWSCURRENT is v2\ncurrent:\n  {name}:moved@{short}  \
             Pod prod/web-1 (api)\nnot baked by secretbake: 1 image\n\
             1 of 3 images drifted: run secretbake rebake {name}:db-prod\n"
        )
    );
    assert_eq!((ran.stderr.as_str(), ran.status), ("", Some(3)));

    let report: Value = serde_json::from_str(&drift("json").stdout).unwrap();
    assert_eq!(report["not_baked"], 1);
    assert_eq!(report["images"][0]["used_by"], json!(["Deployment prod/web (api)", "Deployment prod/web (migrate)"]));
    assert_eq!(
        drift("markdown").stdout,
        format!(
            "### 1 of 3 images drifted\n\nrun `secretbake rebake {name}:db-prod`\n\n#### Rebake\n\n\
             | image | used by | variable | secret | version |\n|---|---|---|---|---|\n\
             | `{name}:db-prod` | `Deployment prod/web (api), Deployment prod/web (migrate)` | `TOKEN` | `db` with `local` \
             | `rotated: baked v1, AWSCURRENT is v2` |\n\n1 image current, 1 not baked by secretbake\n"
        )
    );
}

#[test]
fn compose_and_ecs_files_name_images_too() {
    let (engine, project) = (Engine::one(), Project::with_file(SECRETS));
    let project = project.on(&engine);
    let (tag, remote) = (engine.name("fleet"), format!("{}/sbtest/{}:1", registry(), unique("fleet")));
    bake(&project, "db", &tag);
    bake(&project, "api", &format!("docker://{remote}"));
    project.write("compose.yaml", &format!("services:\n  web: {{ image: \"{tag}\" }}\n  other: {{ image: \"$X\" }}\n"));
    let task =
        json!({ "taskDefinition": { "family": "crew", "containerDefinitions": [{ "name": "api", "image": remote }] } });
    project.write("task.json", &task.to_string());
    let ran = project.run(&["drift", "--from", "compose", "compose.yaml", "--from", "ecs", "task.json"]);
    assert_eq!(
        (ran.stdout, ran.stderr.as_str(), ran.status),
        (
            format!("current:\n  {tag}  service web\n  docker://{remote}  crew (api)\n"),
            "warning: compose.yaml: the image of service other is not known\n  \
             hint: its name has a variable: give the output of `docker compose config` instead\n",
            Some(0)
        )
    );
    project.write("task.json", "{");
    let ran = project.run(&["drift", "--from", "ecs", "task.json", "--format", "json"]);
    assert!(ran.stderr.starts_with("task.json:1:1: not the JSON of a task definition\n"), "{}", ran.stderr);
    assert_eq!(ran.status, Some(2));
    assert!(serde_json::from_str::<Value>(&ran.stdout).unwrap()["diagnostics"][0]["message"].is_string());
}

#[test]
fn an_engine_lists_its_baked_images_and_what_its_containers_run() {
    for engine in Engine::all() {
        let project = Project::with_file(SECRETS).on(&engine);
        let (tag, name) = (engine.name("fleet"), unique("sbtest-fleet"));
        let base = engine.load(&TestImage::busybox(json!({ "Cmd": ["/bin/sh"] })));
        project.baked(&format!(
            "version: 1\nimage: {{ base: \"{}\", tags: [\"{tag}\"] }}\nenv: {{ TOKEN: {{ secret: db }} }}\n",
            base.name
        ));
        rotate_db(&project);
        // the engine has the images of other tests too
        let find = |arguments: &[&str], what: &str| {
            let ran = project.run(&[&["drift", "--format", "json"], arguments].concat());
            let report: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{}", ran.stderr));
            let mut found = report["images"].as_array().unwrap().iter();
            let found = found.find(|image| image.to_string().contains(what)).cloned();
            found.unwrap_or_else(|| panic!("{what}: {report}"))
        };
        let of_engine = find(&["--engine"], tag.as_str());
        assert_eq!((&of_engine["status"], &of_engine["used_by"]), (&json!("drifted"), &Value::Null));
        engine.cli(&["run", "-d", "--network", "none", "--name", &name, &tag, "sleep", "600"]);
        let running = find(&["--running"], &name);
        engine.cli(&["rm", "-f", &name]);
        assert_eq!(
            (&running["status"], &running["used_by"]),
            (&json!("drifted"), &json!([format!("container {name}")]))
        );
        assert!(running["image"].as_str().unwrap().contains(tag.as_str()), "{running}");
    }
}

#[test]
fn no_fleet_shows_a_value_in_the_most_talkative_log() {
    let (project, name) = project();
    let image = name.strip_prefix("docker://").unwrap();
    let objects = json!({ "kind": "Pod", "metadata": { "name": "web" }, "spec": { "containers": [{ "name": "api",
        "image": format!("{image}:db-prod"), "env": [{ "name": "A", "value": "canary-value-2" }] }] } });
    project.write("pods.json", &objects.to_string());
    project.write("compose.yaml", "services: { a: { image: \"x\", environment: { A: canary-value-1 } } }\n");
    let engine = Engine::one();
    let project = project.on(&engine);
    for arguments in [
        &[name.as_str(), "--tags", "*"][..],
        &[&name, "--tags", "*", "--secret", "db"],
        &["--from", "k8s", "pods.json"],
        &["--from", "compose", "compose.yaml"],
        &["--from", "ecs", "pods.json"],
        &["--from", "compose", "pods.json"],
        &["--engine", "--running"],
    ] {
        for format in ["text", "json", "markdown"] {
            let ran = project.run(&[&["drift", "--log", TALKATIVE, "--format", format], arguments].concat());
            is_clean(&format!("{arguments:?}"), ran.stdout.as_bytes());
            is_clean(&format!("{arguments:?}"), ran.stderr.as_bytes());
        }
    }
}

const IMAGES: usize = 500;
const FLEET_SECRETS: usize = 50;
const JOBS: usize = 32;

/// A registry and a Secrets Manager that answer in rounds: the next one only when everything has been asked that a run with [`JOBS`] can
/// ask by then. So the number of rounds is the longest chain of requests, on a machine of any speed.
#[derive(Default)]
struct Rounds {
    state: Mutex<RoundState>,
    ended: Condvar,
}

#[derive(Default)]
struct RoundState {
    rounds: usize,
    waiting: BTreeMap<&'static str, usize>,
    answered: BTreeMap<&'static str, usize>,
    /// What was asked for more than once.
    repeated: Vec<String>,
    seen: BTreeSet<String>,
}

impl RoundState {
    fn is_full(&self) -> bool {
        let answered = |kind| self.answered.get(kind).copied().unwrap_or_default();
        let manifests = if answered("tags") == 1 { IMAGES - answered("manifest") } else { 0 };
        let configs = answered("manifest") - answered("config");
        // they are described while the second half of the images is read
        let secrets = if answered("config") >= IMAGES / 2 { FLEET_SECRETS - answered("secret") } else { 0 };
        [("manifest", manifests), ("config", configs), ("secret", secrets)]
            .into_iter()
            .all(|(kind, left)| self.waiting.get(kind).copied().unwrap_or_default() == left.min(JOBS))
    }
}

impl Rounds {
    /// Returns when the round of a request ends.
    fn wait(&self, kind: &'static str, what: String) {
        let mut state = self.state.lock().unwrap();
        if !state.seen.insert(what.clone()) {
            state.repeated.push(what);
        }
        *state.waiting.entry(kind).or_default() += 1;
        let round = state.rounds;
        if state.is_full() {
            state.rounds += 1;
            for (kind, waiting) in std::mem::take(&mut state.waiting) {
                *state.answered.entry(kind).or_default() += waiting;
            }
            self.ended.notify_all();
            return;
        }
        // a run that asks for less at once than it may never ends a round
        let limit = Duration::from_secs(60);
        let (state, waited) = self.ended.wait_timeout_while(state, limit, |state| state.rounds == round).unwrap();
        assert!(!waited.timed_out(), "round {round} does not end: {:?} wait", state.waiting);
    }
}

fn arn(number: usize) -> String {
    format!("arn:aws:secretsmanager:us-east-1:123456789012:secret:fleet/{number}-AbCdEf")
}

/// Returns the config of an image, which holds one of the secrets.
fn config(number: usize) -> String {
    let origin = json!({ "credential": "aws", "secret": arn(number % FLEET_SECRETS), "version_id": "old" });
    let label =
        json!({ "version": 1, "base": null, "inject": "launcher", "variables": { format!("V{number}"): origin } });
    json!({ "os": "linux", "architecture": "amd64", "rootfs": { "type": "layers", "diff_ids": [] },
        "config": { "Labels": { "dev.secretbake.provenance": label.to_string() } } })
    .to_string()
}

/// A registry on the wire with the repository `crew`, whose image `tN` holds one of the secrets.
struct WireRegistry {
    configs: BTreeMap<String, String>,
}

impl WireRegistry {
    fn new(images: usize) -> Self {
        let configs = (0..images).map(config).map(|config| (digest(config.as_bytes()), config));
        WireRegistry { configs: configs.collect() }
    }

    /// Returns what is asked for: `tags`, or `manifests` or `blobs` and which.
    fn asked(request: &Request) -> (&str, &str) {
        let path = request.line.strip_prefix("GET /v2/crew/").unwrap_or_else(|| panic!("{}", request.line));
        path.split_once('/').unwrap()
    }

    fn reply(&self, request: &Request) -> Reply {
        match Self::asked(request) {
            ("tags", _) => {
                let tags: Vec<String> = (0..self.configs.len()).map(|number| format!("t{number}")).collect();
                Reply::raw(200, "application/json", &json!({ "name": "crew", "tags": tags }).to_string())
            }
            ("manifests", tag) => {
                let config = config(tag[1..].parse().unwrap());
                let kind = "application/vnd.oci.image.manifest.v1+json";
                let manifest = json!({ "schemaVersion": 2, "mediaType": kind, "layers": [], "config": {
                    "mediaType": "application/vnd.oci.image.config.v1+json", "size": config.len(),
                    "digest": digest(config.as_bytes()) } });
                Reply::raw(200, kind, &manifest.to_string())
            }
            (_, digest) => Reply::raw(200, "application/octet-stream", &self.configs[digest]),
        }
    }
}

/// Returns the answer to `DescribeSecret` for a secret with a new version.
fn rotated(request: &Request) -> Reply {
    let body: Value = serde_json::from_str(&request.body).unwrap();
    let versions = json!({ "new": ["AWSCURRENT"] });
    Reply::json(200, &json!({ "ARN": body["SecretId"], "Name": "x", "VersionIdsToStages": versions }).to_string())
}

/// Runs drift of all images of a wire registry, whose host is `HOST` in what it prints.
fn drift_of(stub: &Stub, arguments: &[&str]) -> Ran {
    let moto = Moto::new();
    let project = Project::with_moto(&moto).variable("AWS_ENDPOINT_URL", &stub.url());
    let name = format!("docker://{}/crew", stub.host());
    let mut ran = project.run(&[&["drift", &name, "--tags", "t*"], arguments].concat());
    for text in [&mut ran.stdout, &mut ran.stderr] {
        *text = text.replace(&stub.host(), "HOST");
    }
    ran
}

#[test]
fn a_registry_that_fails_midway_is_one_error() {
    let registry = WireRegistry::new(12);
    let stub = Stub::by(move |_, request: &Request| {
        if request.operation() == "DescribeSecret" {
            return rotated(request);
        }
        match WireRegistry::asked(request) {
            ("manifests", tag) if tag[1..].parse::<usize>().unwrap() >= 2 => {
                let said = r#"{"errors":[{"code":"UNAVAILABLE","message":"maintenance until 4 a.m."}]}"#;
                Reply::raw(503, "application/json", said)
            }
            _ => registry.reply(request),
        }
    });
    let ran = drift_of(&stub, &[]);
    assert_eq!(
        ran.stderr,
        "error: the registry HOST failed for docker://HOST/crew:t10 and 9 other images with status 503 Service Unavailable
  also docker://HOST/crew:t11
  also docker://HOST/crew:t2
  also docker://HOST/crew:t3
  also docker://HOST/crew:t4
  and 5 more
  cause: UNAVAILABLE: maintenance until 4 a.m.
  hint: try again, and see the registry's log
"
    );
    let found = format!(
        "rebake:
  docker://HOST/crew:t0
    V0  secret fleet/0 with aws  rotated: baked old, AWSCURRENT is new
  docker://HOST/crew:t1
    V1  secret fleet/1 with aws  rotated: baked old, AWSCURRENT is new
cannot tell:
{}2 of 12 images drifted: run secretbake rebake docker://HOST/crew:t0 docker://HOST/crew:t1
10 of 12 images could not be checked: see the errors
",
        ["10", "11", "2", "3", "4", "5", "6", "7", "8", "9"]
            .map(|tag| format!("  docker://HOST/crew:t{tag}\n"))
            .concat()
    );
    assert_eq!((ran.stdout, ran.status), (found, Some(3)));
    let report: Value = serde_json::from_str(&drift_of(&stub, &["--format", "json"]).stdout).unwrap();
    assert_eq!(report["diagnostics"].as_array().unwrap().len(), 10, "{report}");
    let first = &report["diagnostics"][0]["message"];
    assert_eq!(first, "the registry HOST failed for `docker://HOST/crew:t10` with status 503 Service Unavailable");
    // the summary of a job says why, too
    let markdown = drift_of(&stub, &["--format", "markdown"]);
    let errors: String = ran.stderr.lines().map(|line| format!("    {line}\n")).collect();
    let end = format!(
        "10 of 12 images could not be checked: see the errors\n\n#### Errors\n\n{errors}\n0 images current, 0 not baked by secretbake\n"
    );
    assert!(markdown.stdout.ends_with(&end), "{}", markdown.stdout);
}

#[test]
fn a_registry_that_is_down_is_not_asked_for_every_image() {
    let registry = WireRegistry::new(100);
    let stub = Stub::by(move |_, request: &Request| match WireRegistry::asked(request) {
        ("tags", _) => registry.reply(request),
        _ => Reply::raw(503, "text/plain", ""),
    });
    let ran = drift_of(&stub, &["--jobs", "2"]);
    // the two at once, perhaps one that began when the first had failed, and the tags; each read is tried four times
    assert!(stub.requests().len() <= 13, "{}", stub.requests().len());
    let (failed, not_asked) = ran.stderr.split_once("error: the registry HOST was not asked for ").expect(&ran.stderr);
    assert!(failed.starts_with("error: the registry HOST failed for docker://HOST/crew:t0 and "), "{failed}");
    assert!(not_asked.ends_with("\n  hint: try again when it is up\n2 errors\n"), "{not_asked}");
    assert!(ran.stdout.ends_with("\n100 of 100 images could not be checked: see the errors\n"), "{}", ran.stdout);
    assert_eq!(ran.status, Some(1));
}

#[test]
fn a_secrets_manager_that_fails_is_one_error() {
    let registry = WireRegistry::new(12);
    let stub = Stub::by(move |number, request: &Request| match request.operation().as_str() {
        "DescribeSecret" => {
            let said = r#"{"__type":"MaintenanceException","message":"until 4 a.m."}"#;
            Reply::raw(400, "application/x-amz-json-1.1", said).header("x-amzn-requestid", &format!("4f1c-{number}"))
        }
        _ => registry.reply(request),
    });
    let ran = drift_of(&stub, &[]);
    let (before, after) = ran.stderr.split_once("4f1c-").unwrap();
    let after = after.trim_start_matches(|c: char| c.is_ascii_digit());
    assert_eq!(
        format!("{before}4f1c-N{after}"),
        format!(
            "error: secretsmanager:DescribeSecret failed with MaintenanceException for {} and 11 other secrets (credential `aws`, region us-east-1)
  also {}
  also {}
  also {}
  also {}
  and 7 more
  cause: for {}: AWS says MaintenanceException: until 4 a.m (request ID 4f1c-N)
  hint: look the code up in the service's API reference
",
            arn(0), arn(1), arn(10), arn(11), arn(2), arn(0)
        )
    );
    assert_eq!(ran.stdout.matches("  could not be asked\n").count(), 12, "{}", ran.stdout);
    assert!(ran.stdout.ends_with("\n12 of 12 images could not be checked: see the errors\n"), "{}", ran.stdout);
    assert_eq!(ran.status, Some(1));
}

#[test]
fn five_hundred_images_with_fifty_secrets_take_eighteen_round_trips() {
    let rounds: &'static Rounds = Box::leak(Box::default());
    let registry = WireRegistry::new(IMAGES);
    let stub = Stub::by(move |_, request: &Request| {
        if request.operation() == "DescribeSecret" {
            rounds.wait("secret", request.body.clone());
            return rotated(request);
        }
        let kind = match WireRegistry::asked(request).0 {
            "manifests" => "manifest",
            "blobs" => "config",
            _ => "tags",
        };
        rounds.wait(kind, request.line.clone());
        registry.reply(request)
    });
    let ran = drift_of(&stub, &["--jobs", &JOBS.to_string(), "--format", "json"]);
    assert_eq!(ran.status, Some(3), "{}", ran.stderr);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(report["images"].as_array().unwrap().len(), IMAGES);
    assert!(report["images"].as_array().unwrap().iter().all(|image| image["status"] == "drifted"));

    let state = rounds.state.lock().unwrap();
    assert_eq!(state.repeated, [] as [String; 0]);
    let expected = [("config", IMAGES), ("manifest", IMAGES), ("secret", FLEET_SECRETS), ("tags", 1)];
    assert_eq!(state.answered, BTreeMap::from(expected));
    assert_eq!(state.rounds, 18);
}

/// Runs `drift --base=only` of an image whose label names the digest `was` of a base, whose tag is this document now.
fn base_is(was: &str, now: Option<(&'static str, String)>) -> Ran {
    let stub = Stub::by({
        let was = was.to_owned();
        move |_, request: &Request| {
            let host = request.header("host").unwrap();
            let label = json!({ "version": 1, "base": was, "inject": "config" }).to_string();
            let config =
                json!({ "os": "linux", "architecture": "amd64", "rootfs": { "type": "layers", "diff_ids": [] },
                "config": { "Labels": { "dev.secretbake.provenance": label,
                    "org.opencontainers.image.base.name": format!("{host}/base:12"),
                    "org.opencontainers.image.base.digest": was } } })
                .to_string();
            let kind = "application/vnd.oci.image.manifest.v1+json";
            let target = request.line.split(' ').nth(1).unwrap();
            match (target.contains("/base/manifests/"), &now) {
                (true, None) => Reply::raw(404, "application/json", ""),
                (true, Some((kind, document))) => {
                    let digest = digest(document.as_bytes());
                    Reply::raw(200, kind, document).header("docker-content-digest", &digest)
                }
                (false, _) if target.contains("/manifests/") => {
                    let config = json!({ "mediaType": "application/vnd.oci.image.config.v1+json", "size": config.len(),
                        "digest": digest(config.as_bytes()) });
                    let manifest =
                        json!({ "schemaVersion": 2, "mediaType": kind, "layers": [], "config": config }).to_string();
                    Reply::raw(200, kind, &manifest)
                }
                (false, _) => Reply::raw(200, "application/octet-stream", &config),
            }
        }
    });
    let host = stub.host();
    // no org file
    let mut ran = Project::empty().run(&["drift", &format!("docker://{host}/crew:1"), "--base=only"]);
    ran.stdout = ran.stdout.replace(&host, "HOST");
    ran
}

#[test]
fn a_base_whose_tag_moved_on_is_said_without_an_org_file() {
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let id = format!("sha256:{}", "b".repeat(64));
    let config = json!({ "mediaType": "application/vnd.oci.image.config.v1+json", "size": 1, "digest": id });
    let manifest = json!({ "schemaVersion": 2, "mediaType": kind, "layers": [], "config": config }).to_string();
    let old = format!("sha256:{}", "a".repeat(64));
    let current = ("docker://HOST/crew:1: current\n", Some(0));
    let now = digest(manifest.as_bytes());
    // by the digest of the manifest, and by the ID that an engine has for it
    for was in [&now, &id] {
        let ran = base_is(was, Some((kind, manifest.clone())));
        assert_eq!((ran.stdout.as_str(), ran.status), current, "{}", ran.stderr);
    }
    // by the digest of one platform
    let list = "application/vnd.oci.image.index.v1+json";
    let entry =
        json!({ "mediaType": kind, "digest": old, "size": 1, "platform": { "os": "linux", "architecture": "amd64" } });
    let index = json!({ "schemaVersion": 2, "mediaType": list, "manifests": [entry] }).to_string();
    let ran = base_is(&old, Some((list, index)));
    assert_eq!((ran.stdout.as_str(), ran.status), current, "{}", ran.stderr);

    let ran = base_is(&old, Some((kind, manifest)));
    let moved = format!("moved: baked on aaaaaaaaaaaa, is {} now", &now["sha256:".len()..][..12]);
    assert_eq!(ran.status, Some(3), "{}", ran.stderr);
    assert!(
        ran.stdout.starts_with(&format!("docker://HOST/crew:1: drifted\n  base  HOST/base:12  {moved}\n1 of 1 ")),
        "{}",
        ran.stdout
    );
    let ran = base_is(&old, None);
    assert!(ran.stdout.contains("\n  base  HOST/base:12  the tag is gone, baked on aaaaaaaaaaaa\n"), "{}", ran.stdout);
    assert_eq!(ran.status, Some(3));
}
