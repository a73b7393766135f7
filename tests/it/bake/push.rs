//! "What I bake, I push; and elsewhere it is pulled and runs."

use serde_json::{Value, json};

use crate::schema::{holds, schema};
use crate::support::engine::{Engine, Loaded};
use crate::support::image::TestImage;
use crate::support::project::{Project, Ran};
use crate::support::stub::{Reply, Stub};
use crate::support::{registry_login, terminal, unique, variable};

const SECRETS: &str = "  token: canary\n";

/// A base in an engine, and the tag in a registry that it is baked to.
struct Pushing {
    engine: Engine,
    _base: Loaded,
    host: String,
    tag: String,
    project: Project,
}

impl Pushing {
    /// Uses the registry at `host`; nobody is logged in.
    fn new(engine: &Engine, host: &str) -> Self {
        let base = engine.load(&TestImage::busybox(json!({ "Cmd": ["/bin/sh"] })));
        let tag = format!("{host}/sbtest/{}:1", unique("push"));
        let project = Project::with_file(SECRETS).on(engine).docker_config(&json!({}));
        // its folder is where a credential helper is put
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin", project.path("").display());
        let project = project.variable("PATH", &path);
        project.write(
            "deploy.yaml",
            &format!(
                "version: 1\nimage:\n  base: {}\n  tags: [\"{tag}\"]\nenv:\n  TOKEN: {{ secret: token }}\n",
                base.name
            ),
        );
        Pushing { engine: engine.clone(), _base: base, host: host.to_owned(), tag, project }
    }

    fn to_the_registry(engine: &Engine) -> Self {
        Pushing::new(engine, &variable("SECRETBAKE_TEST_REGISTRY"))
    }

    fn to_the_registry_with_logins(engine: &Engine) -> Self {
        Pushing::new(engine, &variable("SECRETBAKE_TEST_REGISTRY_AUTH"))
    }

    /// Changes Docker's configuration.
    fn configure(&self, config: &Value) {
        self.project.write("docker/config.json", &config.to_string());
    }

    fn push(&self, arguments: &[&str]) -> Ran {
        self.project.run(&[&["bake", "deploy.yaml", "--push"], arguments].concat())
    }

    /// Pushes, which must work, and returns the reference that is printed.
    fn pushed(&self) -> String {
        let ran = self.push(&[]);
        let expected = format!("pushed: {}\nbaked\n", self.tag);
        assert_eq!((ran.status, ran.brief().as_str()), (Some(0), expected.as_str()), "{}", self.engine.name);
        ran.stdout.trim_end().to_owned()
    }

    /// Pushes, which must be refused, and returns what is said without the engine's own words.
    fn refused(&self) -> String {
        let ran = self.push(&[]);
        assert_eq!((ran.status, ran.stdout.as_str()), (Some(1), ""), "{}: {}", self.engine.name, ran.stderr);
        assert!(self.engine.id(&self.tag).is_some(), "it is baked");
        let (causes, rest): (Vec<_>, Vec<_>) = ran.stderr.lines().partition(|line| line.starts_with("  cause: "));
        assert_eq!(causes.len(), 1, "{}", ran.stderr);
        rest.join("\n")
    }
}

impl Drop for Pushing {
    fn drop(&mut self) {
        self.engine.try_cli(&["rmi", "-f", &self.tag]);
    }
}

#[test]
fn a_pushed_image_is_pulled_elsewhere_by_the_printed_digest_and_runs() {
    let engines = Engine::all();
    for engine in &engines {
        let pushing = Pushing::to_the_registry(engine);
        let reference = pushing.pushed();
        for elsewhere in engines.iter().filter(|other| other.name != engine.name) {
            elsewhere.cli(&["pull", "-q", &reference]);
            let value = elsewhere.run(&[&reference, "sh", "-c", "printf %s \"$TOKEN\""]);
            elsewhere.cli(&["rmi", "-f", &reference]);
            assert_eq!(value, b"canary", "{} to {}", engine.name, elsewhere.name);
        }
        let inspected = pushing.project.run(&["inspect", &format!("docker://{reference}")]);
        assert!(inspected.stdout.contains("TOKEN"), "{}", inspected.stderr);
    }
}

#[test]
fn a_pushed_tag_takes_its_old_image_out_of_the_registry_with_prune_replaced() {
    for engine in Engine::all() {
        let pushing = Pushing::to_the_registry(&engine);
        let old = pushing.pushed();
        pushing.project.write("secrets.yaml", "version: 1\nsecrets:\n  token: canary-2\n");
        let ran = pushing.push(&["--prune-replaced"]);
        assert_eq!(ran.status, Some(0), "{}", ran.stderr);
        let (repository, digest) = (pushing.tag.strip_suffix(":1").unwrap(), old.rsplit_once('@').unwrap().1);
        let removed = format!("removed: the previous image docker://{repository}@{digest}\n");
        assert!(ran.stderr.contains(&removed), "{}: {}", engine.name, ran.stderr);
        assert_eq!(ran.stderr.matches("removed: ").count(), 2, "the engine's too: {}", ran.stderr);
        let gone = pushing.project.run(&["inspect", &format!("docker://{repository}@{digest}")]);
        assert_eq!(gone.status, Some(1), "{}", gone.stdout);
        // what is there already loses nothing
        assert_eq!(pushing.push(&["--prune-replaced"]).brief(), format!("pushed: {}\nunchanged\n", pushing.tag));
    }
}

#[test]
fn an_image_that_is_unchanged_is_pushed_too() {
    for engine in Engine::all() {
        let pushing = Pushing::to_the_registry(&engine);
        let first = pushing.project.run(&["bake", "deploy.yaml"]);
        assert_eq!((first.status, first.brief().as_str()), (Some(0), "baked\n"));
        let ran = pushing.push(&["--format", "json"]);
        assert_eq!(ran.brief(), format!("pushed: {}\nunchanged\n", pushing.tag), "{}", engine.name);
        let report: Value = serde_json::from_str(&ran.stdout).unwrap();
        holds(&schema("report"), &report, "the report of a push");
        let tag = &report["images"][0]["tags"][0];
        assert_eq!(first.stdout.trim_end(), format!("{}@{}", pushing.tag, tag["digest"].as_str().unwrap()));
        engine.cli(&["pull", "-q", &format!("{}@{}", pushing.tag, tag["pushed"].as_str().unwrap())]);
    }
}

#[test]
fn a_registry_that_wants_a_login_gets_the_one_of_dockers_configuration() {
    for engine in Engine::all() {
        let pushing = Pushing::to_the_registry_with_logins(&engine);
        let (tag, host) = (pushing.tag.clone(), pushing.host.clone());
        assert_eq!(
            pushing.refused(),
            format!(
                "deploy.yaml:4:10: image.tags: {tag} is baked, but not pushed: there is no login for {host}\n  \
                 hint: log in with `docker login {host}`, then run the same command again"
            )
        );
        pushing.configure(&registry_login(&host, "somebody", "canary"));
        assert_eq!(
            pushing.refused(),
            format!(
                "deploy.yaml:4:10: image.tags: {tag} is baked, but not pushed: {host} does not accept the login in Docker's configuration\n  \
                 hint: log in again with `docker login {host}`, then run the same command again"
            )
        );
        let (user, password) = right_login();
        pushing.configure(&registry_login(&host, &user, &password));
        let ran = pushing.push(&["--log", "trace,bollard=trace,hyper=trace,hyper_util=trace"]);
        assert_eq!(ran.status, Some(0), "{}", ran.stderr);
        assert!(ran.stderr.contains("TRACE") && !ran.stderr.contains(&password));
    }
}

fn right_login() -> (String, String) {
    (variable("SECRETBAKE_TEST_REGISTRY_AUTH_USER"), variable("SECRETBAKE_TEST_REGISTRY_AUTH_PASSWORD"))
}

#[test]
fn a_credential_helper_is_asked_for_the_login() {
    let (user, password) = right_login();
    let host = variable("SECRETBAKE_TEST_REGISTRY_AUTH");
    let configs = [json!({ "credHelpers": { &host: "sbtest" } }), json!({ "credsStore": "sbtest" })];
    for (engine, config) in Engine::all().iter().flat_map(|engine| configs.iter().map(move |config| (engine, config))) {
        let pushing = Pushing::to_the_registry_with_logins(engine);
        pushing.configure(config);
        let answer = json!({ "ServerURL": host, "Username": user, "Secret": password });
        // a helper reads the registry's name first, as one that ends before does not get it
        pushing.project.program("docker-credential-sbtest", &format!("read -r server || :\necho '{answer}'"));
        pushing.pushed();
    }
}

#[test]
fn a_registry_that_is_not_there_is_named() {
    for engine in Engine::all() {
        let nowhere = Pushing::new(&engine, "127.0.0.1:1");
        assert_eq!(
            nowhere.refused(),
            format!(
                "deploy.yaml:4:10: image.tags: {} is baked, but not pushed: the engine cannot reach 127.0.0.1:1\n  \
                 hint: check that the registry is up and that the engine's machine can reach it",
                nowhere.tag
            )
        );
        let nobody = Pushing::new(&engine, "registry.invalid");
        assert_eq!(
            nobody.refused(),
            format!(
                "deploy.yaml:4:10: image.tags: {} is baked, but not pushed: the engine cannot resolve registry.invalid\n  \
                 hint: check the host in the tag; the default is docker.io",
                nobody.tag
            )
        );
    }
}

#[test]
fn a_person_who_watches_sees_the_layers_go_by() {
    // Podman tells nothing on the way
    for engine in Engine::all().into_iter().filter(|engine| engine.name != "podman") {
        let pushing = Pushing::to_the_registry(&engine);
        let mut command = pushing.project.command(&["bake", "deploy.yaml", "--push"]);
        command.env("TERM", "xterm");
        let ran = terminal::run(command);
        assert_eq!(ran.status, Some(0), "{}", ran.stderr);
        assert!(ran.stderr.contains("pushing layers "), "{}: {:?}", engine.name, ran.stderr);
        let left = ran.stderr.rsplit_once("\x1b[2K").unwrap().1.trim_start_matches(|c: char| c.is_control());
        assert!(left.starts_with(&format!("pushed: {}\nbaked {} in ", pushing.tag, pushing.tag)), "{left}");
    }
}

#[test]
fn a_login_without_the_right_to_push_is_told_so() {
    let denial = r#"{"errors":[{"code":"DENIED","message":"requested access to the resource is denied"}]}"#;
    let scope = "Bearer realm=\"http://127.0.0.1/token\",error=\"insufficient_scope\"";
    // Podman speaks plain HTTP to the test environment's own registries only
    let engine = Engine::docker();
    let stub = Stub::answering([
        Reply::raw(200, "application/json", "{}").to("GET"),
        Reply::raw(404, "application/json", "").to("HEAD"),
        // what Docker Hub says; a 403 the engine would try again for a minute
        Reply::raw(401, "application/json", denial).header("www-authenticate", scope).to("POST"),
    ]);
    let pushing = Pushing::new(&engine, &stub.host());
    pushing.configure(&registry_login(&stub.host(), "somebody", "canary"));
    let (tag, host) = (&pushing.tag, &pushing.host);
    let repository = tag.trim_start_matches(&format!("{host}/")).trim_end_matches(":1");
    assert_eq!(
        pushing.refused(),
        format!(
            "deploy.yaml:4:10: image.tags: {tag} is baked, but not pushed: {host} does not let this login push to {repository}\n  \
             hint: grant the login push access to the repository, or use another login"
        )
    );
}

#[test]
fn a_tag_in_a_file_cannot_be_pushed_and_nothing_is_baked() {
    let project = Project::with_file(SECRETS);
    project.write(
        "deploy.yaml",
        "version: 1\nimage:\n  base: scratch\n  tags: [\"oci:out:1\", \"docker-archive:a.tar:a:1\"]\nenv:\n  A: { secret: token }\n",
    );
    for arguments in [&["bake", "deploy.yaml", "--push"][..], &["bake", "deploy.yaml", "--push", "--dry-run"]] {
        let ran = project.run(arguments);
        assert_eq!(
            (ran.status, ran.stderr.as_str()),
            (
                Some(2),
                "deploy.yaml:4:10: image.tags: --push cannot push oci:out:1: it is a file, not an image of an engine\n  \
                 hint: leave --push out, or bake to NAME:TAG or docker://HOST/REPO:TAG\n\
                 deploy.yaml:4:23: image.tags: --push cannot push docker-archive:a.tar:a:1: it is a file, not an image of an engine\n  \
                 hint: leave --push out, or bake to NAME:TAG or docker://HOST/REPO:TAG\n\
                 2 errors in 1 file\n"
            )
        );
        assert!(!project.path("out").exists() && !project.path("a.tar").exists());
    }
}
