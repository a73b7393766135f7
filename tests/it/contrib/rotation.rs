//! What teams copy for rotation works: the scheduled jobs, the deployment of a digest, the rule for events.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::project::Project;
use crate::support::{program, unique, variable};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn yaml(name: &str) -> serde_yaml::Value {
    serde_yaml::from_str(&fs::read_to_string(root().join(name)).unwrap()).unwrap()
}

/// Runs a shell script like a runner of CI: with secretbake, and a kubectl that writes down what it is asked.
fn run(project: &Project, script: &str) -> (Option<i32>, String) {
    run_with(project, &[], script)
}

/// Like [`run`], with more variables.
fn run_with(project: &Project, variables: &[(&str, &str)], script: &str) -> (Option<i32>, String) {
    let bin = Path::new(env!("CARGO_BIN_EXE_secretbake")).parent().unwrap();
    let path = format!("{}:{}:/usr/local/bin:/usr/bin:/bin", project.path("bin").display(), bin.display());
    let mut command = Command::new("/bin/sh");
    command.env_clear().env("PATH", path).env("IMAGES", images(project)).current_dir(project.path(""));
    command.env("GITHUB_STEP_SUMMARY", "summary.md").env("GITHUB_OUTPUT", "output").envs(variables.iter().copied());
    let output = command.args(["-ec", script]).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

fn images(project: &Project) -> String {
    fs::read_to_string(project.path("images")).unwrap()
}

/// Returns a project like a repository with the files in `contrib/`, and with a baked image.
fn project() -> Project {
    let project = Project::with_file("  token: { value: canary-1, version_id: v1 }\n");
    for folder in ["deploy", "bin", "contrib", "contrib/rotation"] {
        fs::create_dir(project.path(folder)).unwrap();
    }
    fs::copy(root().join("contrib/rotation/deploy"), project.path("contrib/rotation/deploy")).unwrap();
    program(&project.path("bin/kubectl"), "echo \"$@\" >> kubectl.log");
    let name = format!("docker://{}/sbtest/{}", variable("SECRETBAKE_TEST_REGISTRY"), unique("rotation"));
    project.write("images", &name);
    let manifest = format!(
        "version: 1\nimage: {{ base: scratch, tags: [\"{name}:1-prod\"] }}\nenv: {{ TOKEN: {{ secret: token }} }}\n"
    );
    project.write("deploy/crew.yaml", &manifest);
    let ran = project.run(&["bake", "deploy/crew.yaml"]);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    project
}

/// Gives the secret a new value and version.
fn rotate(project: &Project) {
    project.write("secrets.yaml", "version: 1\nsecrets:\n  token: { value: canary-2, version_id: v2 }\n");
}

/// Expects a job to do nothing while everything is current, and to deploy the new digest after a rotation.
fn holds(job: &dyn Fn(&Project)) {
    let project = project();
    job(&project);
    assert!(!project.path("kubectl.log").exists() && !project.path("report.json").exists());
    rotate(&project);
    job(&project);
    let report: Value = serde_json::from_str(&fs::read_to_string(project.path("report.json")).unwrap()).unwrap();
    let digest = report["images"][0]["tags"][0]["digest"].as_str().unwrap();
    assert_eq!((&report["images"][0]["status"], report["removed"].as_array().unwrap().len()), (&json!("rebaked"), 1));
    let images = images(&project);
    let repository = images.strip_prefix("docker://").unwrap();
    let name = repository.rsplit('/').next().unwrap();
    assert_eq!(
        fs::read_to_string(project.path("kubectl.log")).unwrap(),
        format!("set image deployment/{name} {name}={repository}@{digest}\n")
    );
}

#[test]
fn the_scheduled_workflow_of_github_rebakes_and_deploys_what_has_drifted() {
    let workflow = yaml("contrib/rotation/github.yml");
    let steps = workflow["jobs"]["rotation"]["steps"].as_sequence().unwrap().clone();
    holds(&|project| {
        let _ = fs::remove_file(project.path("output"));
        for step in &steps {
            let Some(script) = step["run"].as_str().filter(|script| !script.contains("cargo install")) else {
                continue;
            };
            let output = fs::read_to_string(project.path("output")).unwrap_or_default();
            let runs = match step["if"].as_str() {
                None => true,
                Some(condition) => {
                    assert!(condition.contains("steps.drift.outputs.status == '3'"), "{condition}");
                    output.contains("status=3\n")
                }
            };
            if runs {
                let (status, stderr) = run(project, script);
                assert_eq!(status, Some(0), "{script}: {stderr}");
            }
        }
        assert!(fs::read_to_string(project.path("summary.md")).unwrap().starts_with("### "));
    });
}

fn gitlab_script() -> String {
    let job = yaml("contrib/rotation/gitlab.yml");
    let lines = job["rotation"]["script"].as_sequence().unwrap();
    lines.iter().map(|line| format!("{}\n", line.as_str().unwrap())).collect()
}

#[test]
fn the_scheduled_job_of_gitlab_rebakes_and_deploys_what_has_drifted() {
    holds(&|project| {
        let (status, stderr) = run(project, &gitlab_script());
        assert_eq!(status, Some(0), "{stderr}");
    });
}

#[test]
fn a_job_fails_if_the_state_is_unknown() {
    let project = project();
    project.write("secrets.yaml", "version: 1\nsecrets:\n  token: canary-2\n");
    assert_eq!(run(&project, &gitlab_script()).0, Some(1));
    assert!(!project.path("kubectl.log").exists());
}

#[test]
fn a_job_fails_if_an_image_cannot_be_rebaked_and_deploys_the_others() {
    let project = project();
    let withheld = "{ template: \"postgres://crew:hunter2hunter2@{{t}}/db\", with: { t: { secret: token } } }";
    let name = images(&project);
    project.baked(&format!(
        "version: 1\nimage: {{ base: scratch, tags: [\"{name}:2-prod\"] }}\nenv: {{ URL: {withheld} }}\n"
    ));
    rotate(&project);
    assert_eq!(run(&project, &gitlab_script()).0, Some(1));
    assert_eq!(fs::read_to_string(project.path("kubectl.log")).unwrap().lines().count(), 1);
}

/// Asks moto's EventBridge whether the rule takes an event.
fn is_taken(pattern: &serde_yaml::Value, event: &Value) -> bool {
    let pattern = serde_json::to_string(pattern).unwrap();
    let script = "import json, sys\nfrom moto.events.models import EventPattern\n\
                  print(EventPattern.load(sys.argv[1]).matches_event(json.loads(sys.argv[2])))";
    let ran = Command::new(variable("SECRETBAKE_TEST_PYTHON"))
        .args(["-c", script, &pattern, &event.to_string()])
        .output()
        .unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).unwrap().trim() == "True"
}

#[test]
fn the_rule_takes_a_rotation_and_nothing_that_only_reads() {
    let template = yaml("contrib/rotation/eventbridge.yml");
    let rule = &template["Resources"]["Rule"]["Properties"];
    let event = |kind: &str, name: &str| {
        json!({ "version": "0", "id": "1", "account": "123456789012", "region": "us-east-1", "resources": [],
            "time": "2026-11-26T00:00:00Z", "source": "aws.secretsmanager", "detail-type": kind,
            "detail": { "eventSource": "secretsmanager.amazonaws.com", "eventName": name } })
    };
    for (kind, name, taken) in [
        ("AWS Service Event via CloudTrail", "RotationSucceeded", true),
        ("AWS Service Event via CloudTrail", "RotationStarted", false),
        ("AWS API Call via CloudTrail", "PutSecretValue", true),
        ("AWS API Call via CloudTrail", "GetSecretValue", false),
    ] {
        assert_eq!(is_taken(&rule["EventPattern"], &event(kind, name)), taken, "{name}");
    }
    let input: Value = serde_json::from_str(rule["Targets"][0]["Input"].as_str().unwrap()).unwrap();
    let workflow = yaml("contrib/rotation/github.yml");
    assert_eq!(workflow["on"]["repository_dispatch"]["types"][0].as_str(), input["event_type"].as_str());
}

/// Returns the lines of a code block of docs/rotation.md, which begins after a line of text.
fn block(after: &str) -> String {
    let text = fs::read_to_string(root().join("docs/rotation.md")).unwrap();
    let rest = text.split_once(after).unwrap_or_else(|| panic!("no {after}")).1;
    let lines = rest.lines().skip_while(|line| !line.starts_with("    "));
    lines
        .take_while(|line| line.starts_with("    ") || line.is_empty())
        .map(|line| format!("{}\n", line.trim()))
        .collect()
}

#[test]
fn the_commands_of_the_docs_put_the_digest_where_it_is_deployed() {
    let project = project();
    let digest = format!("sha256:{}", "a".repeat(64));
    let image = format!("registry.example.com/crew@{digest}");
    let report = json!({ "images": [{ "status": "baked", "tags": [
        { "name": "docker://registry.example.com/crew:1.4.2-prod", "digest": digest }] }] });
    project.write("report.json", &report.to_string());
    let with_image = |script: &str| {
        let (status, stderr) = run(&project, &format!("{}{script}", block("The reference to deploy")));
        assert_eq!(status, Some(0), "{script}: {stderr}");
    };
    with_image("printf %s \"$image\" > image");
    assert_eq!(fs::read_to_string(project.path("image")).unwrap(), image);
    fs::create_dir(project.path("none")).unwrap();
    project.write("none/report.json", r#"{ "images": [{ "status": "current", "tags": [] }] }"#);
    let (status, _) = run(&project, &format!("cd none; {}echo wrong", block("The reference to deploy")));
    assert_eq!(status, Some(4), "jq finds no image in a report without one");

    // ECS: what is registered is valid, and only the image differs
    let container = |name: &str, image: &str| json!({ "name": name, "image": image, "essential": true, "memory": 64 });
    let task = json!({ "family": "crew", "taskDefinitionArn": "arn:x", "revision": 7, "status": "ACTIVE", "networkMode": "awsvpc",
        "containerDefinitions": [container("api", "old"), container("side", "side:1")] });
    project.write("task.json", &task.to_string());
    let lines = block("An ECS task definition");
    let jq: Vec<&str> =
        lines.lines().skip_while(|line| !line.starts_with("jq")).take_while(|line| !line.starts_with("aws")).collect();
    with_image(&jq.join("\n"));
    let new: Value = serde_json::from_str(&fs::read_to_string(project.path("new-task.json")).unwrap()).unwrap();
    let containers = json!([container("api", &image), container("side", "side:1")]);
    assert_eq!(new, json!({ "family": "crew", "networkMode": "awsvpc", "containerDefinitions": containers }));
    let script = "import json, sys, boto3\nclient = boto3.client('ecs', endpoint_url=sys.argv[1], region_name='us-east-1', \
                  aws_access_key_id='x', aws_secret_access_key='x')\nclient.register_task_definition(**json.load(open('new-task.json')))";
    let ran = Command::new(variable("SECRETBAKE_TEST_PYTHON"))
        .args(["-c", script, &variable("SECRETBAKE_TEST_MOTO")])
        .current_dir(project.path(""))
        .output()
        .unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));

    // Compose: the second file only replaces the image
    let lines = block("A Compose file");
    with_image(lines.lines().find(|line| line.starts_with("jq")).unwrap());
    let compose: Value =
        serde_json::from_str(&fs::read_to_string(project.path("compose.digest.yaml")).unwrap()).unwrap();
    assert_eq!(compose, json!({ "services": { "api": { "image": image } } }));
    let ran = project.run(&["drift", "--from", "compose", "compose.digest.yaml", "--format", "json"]);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(report["images"][0]["image"], image.as_str(), "{}", ran.stderr);

    // Kubernetes: what kubectl sets, without a cluster
    let kubernetes = block("A Kubernetes manifest");
    project.write("web.yaml", DEPLOYMENT);
    assert!(kubernetes.contains("kubectl set image deployment/web api=\"$image\"\n"), "{kubernetes}");
    let set = kubectl(&project, &["set", "image", "--local", "-f", "web.yaml", &format!("api={image}"), "-o", "yaml"]);
    assert!(set.contains(&format!("image: {image}\n")), "{set}");
}

const DEPLOYMENT: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: { name: web }\nspec:\n  selector: { matchLabels: { a: b } }\n  \
                          template:\n    metadata: { labels: { a: b } }\n    spec: { containers: [{ name: api, image: crew }] }\n";

fn kubectl(project: &Project, arguments: &[&str]) -> String {
    let ran = Command::new("/usr/bin/kubectl").args(arguments).current_dir(project.path("")).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).unwrap()
}

// Only root can unpack the programs of a newer Debian suite.
mod as_root {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::support::engine::Engine;
    use crate::support::image::TestImage;
    use crate::support::needs_root;
    use crate::support::skopeo::copy;

    #[test]
    fn kustomize_writes_the_digest_and_the_next_build_has_it() {
        needs_root();
        let project = project();
        let digest = format!("sha256:{}", "b".repeat(64));
        let tag = json!({ "name": "docker://registry.example.com:5000/crew:1.4.2-prod", "digest": digest });
        project.write("report.json", &json!({ "images": [{ "tags": [tag] }] }).to_string());
        project.write("web.yaml", DEPLOYMENT);
        project.write("kustomization.yaml", "resources: [web.yaml]\n");
        symlink(variable("SECRETBAKE_TEST_KUSTOMIZE"), project.path("bin/kustomize")).unwrap();
        let lines = block("A Kubernetes manifest");
        let line = lines.lines().find(|line| line.starts_with("kustomize ")).unwrap();
        let (status, stderr) = run(&project, &format!("{}{line}", block("The reference to deploy")));
        assert_eq!(status, Some(0), "{stderr}");
        let built = kubectl(&project, &["kustomize", "."]);
        assert!(built.contains(&format!("image: registry.example.com:5000/crew@{digest}\n")), "{built}");
    }

    #[test]
    fn docker_compose_starts_the_digest() {
        needs_root();
        let (project, engine) = (project(), Engine::docker());
        let name = images(&project);
        TestImage::busybox(json!({ "Cmd": ["/bin/sleep", "600"] })).write("x:1", &project.path("base.tar"));
        copy(&format!("docker-archive:{}", project.path("base.tar").display()), &format!("{name}:base"));
        let bake = ["bake", "deploy/crew.yaml", "--base", &format!("{name}:base"), "--format", "json"];
        let report = project.run(&bake);
        assert_eq!(report.status, Some(0), "{}", report.stderr);
        project.write("report.json", &report.stdout);
        project.write("compose.yaml", "services:\n  api:\n    image: crew\n    network_mode: none\n");
        let plugins = project.path("docker/cli-plugins");
        fs::create_dir_all(&plugins).unwrap();
        symlink(variable("SECRETBAKE_TEST_COMPOSE"), plugins.join("docker-compose")).unwrap();
        let (config, label) = (project.path("docker"), unique("compose").to_lowercase());
        let variables = [
            ("DOCKER_HOST", &*engine.host),
            ("DOCKER_CONFIG", config.to_str().unwrap()),
            ("COMPOSE_PROJECT_NAME", &label),
        ];
        let compose = |script: &str| run_with(&project, &variables, script);

        let lines =
            format!("{}{}printf %s \"$image\" > image", block("The reference to deploy"), block("A Compose file"));
        let (status, stderr) = compose(&lines);
        let filter = format!("label=com.docker.compose.project={label}");
        let running = engine.text(&["ps", "--filter", &filter, "--format", "{{.Names}}"]);
        let started = engine.try_cli(&["inspect", "--format", "{{.Config.Image}}", &running]);
        compose("docker compose down --timeout 0 --rmi all");
        assert_eq!(status, Some(0), "{stderr}");
        let image = fs::read_to_string(project.path("image")).unwrap();
        assert!(image.starts_with(&format!("{}@sha256:", &name["docker://".len()..])), "{image}");
        assert_eq!(String::from_utf8(started.stdout).unwrap().trim(), image);
    }
}
