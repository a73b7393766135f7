//! "We log in once, as with Docker": tokens, identity tokens and credential helpers, in front of a real registry.

use std::collections::HashMap;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use serde_json::{Value, json};

use super::{SECRETS, base, layer_of, project, registry, repository, simple};
use crate::support::project::Project;
use crate::support::skopeo::skopeo;
use crate::support::stub::{Reply, Request, Stub};
use crate::support::{registry_login, variable};

const USER: &str = "somebody";
const PASSWORD: &str = "canary-password";
const IDENTITY: &str = "canary-identity-token";

fn base64(text: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(text)
}

/// Returns the project with this as Docker's `config.json`.
fn with_docker_config(project: Project, config: &Value) -> Project {
    project.write("config.json", &config.to_string());
    let folder = project.path("");
    project.variable("DOCKER_CONFIG", folder.to_str().unwrap())
}

/// A registry that takes bearer tokens only, and the service that gives them.
struct Guarded {
    registry: Stub,
    tokens: Stub,
}

impl Guarded {
    /// Starts both; at each request that `ends` picks, every token that was used ends before it is looked at. One that is on its way to
    /// be used stays: a registry that refuses what was just given refuses for good.
    fn new(ends: impl Fn(&Request) -> bool + Send + Sync + 'static) -> Self {
        // and whether it was used
        let valid: Arc<Mutex<HashMap<String, bool>>> = Arc::default();
        let given = valid.clone();
        let tokens = Stub::by(move |number, _| {
            let token = format!("token-{number}");
            given.lock().unwrap().insert(format!("Bearer {token}"), false);
            // the one name or the other, as services have it
            let name = if number % 2 == 0 { "token" } else { "access_token" };
            let answer = json!({ name: token, "expires_in": 60 }).to_string();
            Reply::raw(200, "application/json", &answer).after(Duration::from_millis(100))
        });
        let challenge = format!("Bearer realm=\"{}/token\",service=\"the registry\"", tokens.url());
        let registry = Stub::before(&registry(), move |_, request| {
            let mut valid = valid.lock().unwrap();
            if ends(request) {
                valid.retain(|_, is_used| !*is_used);
            }
            match request.header("authorization").and_then(|token| valid.get_mut(token)) {
                Some(is_used) => {
                    *is_used = true;
                    None
                }
                None => Some(Reply::raw(401, "application/json", "{}").header("www-authenticate", &challenge)),
            }
        });
        Guarded { registry, tokens }
    }

    fn name(&self, repository: &str, tag: &str) -> String {
        format!("docker://{}/{repository}:{tag}", self.registry.host())
    }

    /// Returns how often the registry was asked without a token.
    fn refused(&self) -> usize {
        let known = |request: &&Request| request.header("authorization").is_none();
        self.registry.requests().iter().filter(known).count()
    }

    /// Returns the requests for tokens, sorted.
    fn asked(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.tokens.requests().into_iter().map(|request| request.line).collect();
        lines.sort();
        lines
    }
}

/// Returns the request for a token of these scopes.
fn for_token(scopes: &[(&str, &str)]) -> String {
    let encoded = |text: &str| text.replace('/', "%2F").replace(',', "%2C");
    let scopes =
        scopes.iter().map(|(path, rights)| format!("&scope=repository%3A{}%3A{}", encoded(path), encoded(rights)));
    format!("GET /token?service=the+registry{}", scopes.collect::<String>())
}

/// Picks the first request of a kind.
fn first(kind: impl Fn(&Request) -> bool) -> impl Fn(&Request) -> bool {
    let over = AtomicBool::new(false);
    move |request| kind(request) && !over.swap(true, Ordering::SeqCst)
}

#[test]
fn a_token_is_asked_for_once_for_each_thing_that_is_done() {
    let (project, repository) = project();
    let guarded = Guarded::new(|_| false);
    let login = json!({ "auths": { guarded.registry.host(): { "auth": base64(&format!("{USER}:{PASSWORD}")) } } });
    let project = with_docker_config(project, &login);
    project.baked(&simple(&guarded.name(&repository, "1"), &[&guarded.name(&repository, "prod")]));

    assert_eq!(guarded.asked(), [for_token(&[(&repository, "pull")]), for_token(&[(&repository, "pull,push")])]);
    let basic = format!("Basic {}", base64(&format!("{USER}:{PASSWORD}")));
    assert!(guarded.tokens.requests().iter().all(|request| request.header("authorization") == Some(&basic)));
    // the registry itself never sees the password, and refuses only the first requests, for the base and for the tag side by side
    assert!(guarded.registry.requests().iter().all(|request| request.header("authorization") != Some(&basic)));
    assert!(guarded.refused() <= 2, "{}", guarded.refused());
}

#[test]
fn tokens_of_many_repositories_are_asked_for_side_by_side_and_each_once() {
    let (project, from) = project();
    let guarded = Guarded::new(|_| false);
    let targets: Vec<String> = (0..6).map(|number| format!("{from}/{number}")).collect();
    let mut arguments = vec!["bake".to_owned(), "--jobs=6".to_owned()];
    for (number, target) in targets.iter().enumerate() {
        arguments.push(format!("{number}.yaml"));
        project.write(
            &format!("{number}.yaml"),
            &simple(&guarded.name(&from, "1"), &[&guarded.name(target, "1"), &guarded.name(target, "2")]),
        );
    }
    let ran = project.run(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    let mut wanted: Vec<String> =
        targets.iter().map(|target| for_token(&[(target, "pull,push"), (&from, "pull")])).collect();
    wanted.push(for_token(&[(&from, "pull")]));
    wanted.sort();
    assert_eq!(guarded.asked(), wanted);
    assert!(guarded.tokens.most_at_once() > 1, "one after the other");
}

#[test]
fn a_token_that_has_expired_is_renewed_on_the_way() {
    let (project, repository) = project();
    let reads = first(|request| request.line.starts_with("GET ") && request.line.contains("/blobs/"));
    let sends = first(|request| request.line.starts_with("PUT ") && request.line.contains("/blobs/"));
    let guarded = Guarded::new(move |request| reads(request) || sends(request));
    let tags = [guarded.name(&repository, "prod"), guarded.name(&repository, "latest")];
    project.baked(&simple(&guarded.name(&repository, "1"), &[&tags[0], &tags[1]]));
    assert!(guarded.tokens.requests().len() > 3, "no token expired");
    // the first for the base and for each tag
    assert!(guarded.refused() <= 3, "{}", guarded.refused());
}

#[test]
fn a_token_that_expires_while_a_layer_is_streamed_is_renewed_and_the_layer_sent_anew() {
    let (project, from) = project();
    let from = format!("docker://{}/{from}:1", registry());
    let layer = layer_of(&from);
    let guarded = Guarded::new(first(move |request| request.line.starts_with("PUT ") && request.line.contains(&layer)));
    project.baked(&simple(&from, &[&guarded.name(&repository(), "1")]));
    assert_eq!(guarded.tokens.requests().len(), 2);
}

#[test]
fn a_login_that_lacks_a_right_is_said_to_and_the_registry_is_not_asked_for_ever() {
    // services give another token each time, or the same one as long as it is good
    for constant in [false, true] {
        let tokens = Stub::by(move |number, _| {
            let number = if constant { 0 } else { number };
            Reply::raw(200, "application/json", &json!({ "token": format!("token-{number}") }).to_string())
        });
        let challenge = format!("Bearer realm=\"{}/token\",error=\"insufficient_scope\"", tokens.url());
        let refused = r#"{"errors":[{"code":"DENIED","message":"requested access to the resource is denied"}]}"#;
        let guarded =
            Stub::answering([Reply::raw(401, "application/json", refused).header("www-authenticate", &challenge)]);
        let manifest = simple(&format!("docker://{}/x:1", guarded.host()), &["oci:out:1"]);
        let login = json!({ "auths": { guarded.host(): { "auth": base64(&format!("{USER}:{PASSWORD}")) } } });

        let ran = with_docker_config(Project::with_file(SECRETS), &login).bake(&manifest);
        assert_eq!(
            (ran.status, ran.stderr),
            (
                Some(1),
                format!(
                    "deploy.yaml:3:9: image.base: the registry {0} denies this login access to `docker://{0}/x:1`\n  \
                     cause: DENIED: requested access to the resource is denied\n  \
                     hint: get this login access to the repository, or use another login\n",
                    guarded.host()
                )
            )
        );
        assert_eq!((guarded.requests().len(), tokens.requests().len()), (2, 1));
        // without a login, one may help
        let ran = Project::with_file(SECRETS).bake(&manifest);
        assert!(ran.stderr.contains(&format!("hint: log in with `docker login {}`", guarded.host())), "{}", ran.stderr);
        assert_eq!((guarded.requests().len(), tokens.requests().len()), (4, 2));
    }
}

/// Starts a registry that calls a token invalid if `is_invalid` does, and its token service.
fn registry_with_invalid_tokens(is_invalid: fn(&str) -> bool) -> Guarded {
    let tokens = Stub::by(|number, _| {
        Reply::raw(200, "application/json", &json!({ "token": format!("token-{number}") }).to_string())
    });
    let challenge = format!("Bearer realm=\"{}/token\"", tokens.url());
    let registry = Stub::before(&registry(), move |_, request| {
        let challenge = match request.header("authorization") {
            Some(token) if is_invalid(token) => format!("{challenge},error=\"invalid_token\""),
            Some(_) => return None,
            None => challenge.clone(),
        };
        Some(Reply::raw(401, "application/json", "{}").header("www-authenticate", &challenge))
    });
    Guarded { registry, tokens }
}

#[test]
fn a_token_that_expires_on_its_way_is_no_refused_login() {
    let (project, repository) = project();
    let login = |guarded: &Guarded| registry_login(&guarded.registry.host(), USER, PASSWORD);

    let guarded = registry_with_invalid_tokens(|token| token == "Bearer token-0");
    let project = with_docker_config(project, &login(&guarded));
    project.baked(&simple(&guarded.name(&repository, "1"), &["oci:out:1"]));
    assert_eq!((guarded.tokens.requests().len(), guarded.refused()), (2, 1));

    let guarded = registry_with_invalid_tokens(|_| true);
    let project = with_docker_config(project, &login(&guarded));
    let ran = project.bake(&simple(&guarded.name(&repository, "1"), &["oci:out:1"]));
    assert_eq!(
        (ran.stderr, ran.status),
        (
            format!(
                "deploy.yaml:3:9: image.base: the registry {} does not accept the tokens that its token service has just given\n  \
                 cause: the clocks of the two differ, or the registry does not know the key that the service signs with\n  \
                 hint: see the registry's log, and compare the clocks and the certificates of both\n",
                guarded.registry.host()
            ),
            Some(1)
        )
    );
    assert_eq!((guarded.tokens.requests().len(), guarded.registry.requests().len()), (2, 3));
}

#[test]
fn the_answer_of_a_token_service_is_read_to_a_limit() {
    let tokens = Stub::answering([Reply::raw(200, "application/json", &format!("{}{{}}", " ".repeat(2 << 20)))]);
    let challenge = format!("Bearer realm=\"{}/token\"", tokens.url());
    let guarded = Stub::answering([Reply::raw(401, "text/plain", "").header("www-authenticate", &challenge)]);
    let ran = Project::with_file(SECRETS).bake(&simple(&format!("docker://{}/x:1", guarded.host()), &["oci:out:1"]));
    assert_eq!(ran.status, Some(1));
    assert!(ran.stderr.contains(&format!("the registry {} asks for a login", guarded.host())), "{}", ran.stderr);
}

#[test]
fn an_identity_token_goes_nowhere_that_the_token_service_redirects_to() {
    let elsewhere = Stub::answering([Reply::raw(200, "application/json", r#"{"token":"x"}"#)]);
    let tokens =
        Stub::answering([Reply::raw(307, "text/plain", "").header("location", &format!("{}/token", elsewhere.url()))]);
    let challenge = format!("Bearer realm=\"{}/token\"", tokens.url());
    let guarded = Stub::answering([Reply::raw(401, "text/plain", "").header("www-authenticate", &challenge)]);
    let login = json!({ "auths": { guarded.host(): { "auth": base64("x:"), "identitytoken": IDENTITY } } });
    let project = with_docker_config(Project::with_file(SECRETS), &login);
    let ran = project.bake(&simple(&format!("docker://{}/x:1", guarded.host()), &["oci:out:1"]));
    assert_eq!(ran.status, Some(1));
    assert!(tokens.requests()[0].body.contains(IDENTITY));
    assert!(elsewhere.requests().is_empty(), "{:?}", elsewhere.requests());
}

#[test]
fn an_identity_token_is_sent_to_the_token_service_only() {
    let (project, repository) = project();
    let guarded = Guarded::new(|_| false);
    let login = json!({ "auths": { guarded.registry.host(): { "auth": base64("x:"), "identitytoken": IDENTITY } } });
    let project = with_docker_config(project, &login);
    project.baked(&simple(&guarded.name(&repository, "1"), &[&guarded.name(&repository, "prod")]));
    let asked = guarded.tokens.requests();
    assert_eq!(asked.len(), 2);
    for request in asked {
        assert_eq!(request.line, "POST /token");
        for field in ["grant_type=refresh_token", "service=the+registry", &format!("refresh_token={IDENTITY}")] {
            assert!(request.body.split('&').any(|other| other == field), "{}", request.body);
        }
    }
    assert!(guarded.registry.requests().iter().all(|request| !format!("{request:?}").contains(IDENTITY)));
}

#[test]
fn a_token_service_that_refuses_is_said_to() {
    let (project, repository) = project();
    let tokens = Stub::answering([Reply::raw(401, "application/json", r#"{"errors":[{"code":"UNAUTHORIZED"}]}"#)]);
    let challenge = format!("Bearer realm=\"{}/token\"", tokens.url());
    let guarded = Stub::answering([Reply::raw(401, "text/plain", "").header("www-authenticate", &challenge)]);
    let ran = project.bake(&simple(&format!("docker://{}/{repository}:1", guarded.host()), &["oci:out"]));
    assert_eq!(ran.status, Some(1));
    assert!(ran.stderr.contains(&format!("docker login {}", guarded.host())), "{}", ran.stderr);

    // one that would get the login in the clear is not asked
    let realm = "Bearer realm=\"http://tokens.example.com/\"";
    let guarded = Stub::answering([Reply::raw(401, "text/plain", "").header("www-authenticate", realm)]);
    let ran = project.bake(&simple(&format!("docker://{}/{repository}:1", guarded.host()), &["oci:out"]));
    assert!(ran.stderr.contains("sends requests to an address without TLS"), "{}", ran.stderr);
}

#[test]
fn a_token_service_that_repeats_the_login_shows_none_of_it() {
    let tokens = Stub::by(|_, request| {
        let sent = request.header("authorization").unwrap_or_default();
        let body =
            json!({ "errors": [{ "code": "DENIED", "message": format!("not for {sent} or user:hunter2-canary") }] });
        Reply::raw(403, "application/json", &body.to_string())
    });
    let challenge = format!("Bearer realm=\"{}/token\"", tokens.url());
    let guarded = Stub::answering([Reply::raw(401, "text/plain", "").header("www-authenticate", &challenge)]);
    let login = registry_login(&guarded.host(), "user", "hunter2-canary");
    let project = Project::with_file(SECRETS).docker_config(&login);
    let ran = project.bake(&simple(&format!("docker://{}/x:1", guarded.host()), &["oci:out"]));
    assert_eq!(ran.status, Some(1));
    assert!(ran.stderr.contains("cause: DENIED: not for Basic ***"), "{}", ran.stderr);
    assert!(ran.stderr.contains(" or ***\n"), "{}", ran.stderr);
}

/// Installs a credential helper `docker-credential-fake` that notes each call, and returns the project with it.
fn with_helper(project: Project, script: &str) -> Project {
    fs::create_dir(project.path("helpers")).unwrap();
    let calls = project.path("calls").display().to_string();
    let script = format!("read -r server || :\necho \"$1 $server\" >>{calls}\n{script}");
    project.program("helpers/docker-credential-fake", &script);
    let path = format!("{}:/usr/bin:/bin", project.path("helpers").display());
    project.variable("PATH", &path)
}

#[test]
fn a_credential_helper_is_run_once() {
    let host = variable("SECRETBAKE_TEST_REGISTRY_AUTH");
    let (user, password) =
        (variable("SECRETBAKE_TEST_REGISTRY_AUTH_USER"), variable("SECRETBAKE_TEST_REGISTRY_AUTH_PASSWORD"));
    let repository = repository();
    let there = format!("docker://{host}/{repository}");
    skopeo(&[
        "copy",
        "--quiet",
        "--dest-tls-verify=false",
        "--dest-creds",
        &format!("{user}:{password}"),
        base(),
        &format!("{there}:1"),
    ]);
    for config in [json!({ "credHelpers": { &host: "fake" } }), json!({ "credsStore": "fake", "auths": { &host: {} } })]
    {
        let answer = json!({ "ServerURL": &host, "Username": user, "Secret": password });
        let project = with_helper(Project::with_file(SECRETS), &format!("echo '{answer}'"));
        let project = with_docker_config(project, &config);
        project.baked(&simple(&format!("{there}:1"), &[&format!("{there}:prod")]));
        assert_eq!(fs::read_to_string(project.path("calls")).unwrap(), format!("get {host}\n"));
    }
}

#[test]
fn a_helper_may_know_nothing_or_give_an_identity_token_and_is_not_quoted_when_it_fails() {
    let helper = |script: &str| {
        let (project, repository) = project();
        let guarded = Guarded::new(|_| false);
        let project = with_docker_config(
            with_helper(project, script),
            &json!({ "credHelpers": { guarded.registry.host(): "fake" } }),
        );
        let manifest = simple(&guarded.name(&repository, "1"), &[&guarded.name(&repository, "prod")]);
        (project.bake(&manifest), guarded.tokens.requests())
    };
    let (ran, asked) = helper("echo 'credentials not found in native keychain'; exit 1");
    assert_eq!((ran.status, asked[0].header("authorization")), (Some(0), None), "{}", ran.stderr);
    let (ran, asked) = helper(&format!("echo '{}'", json!({ "Username": "<token>", "Secret": IDENTITY })));
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    assert!(asked[0].body.contains(&format!("refresh_token={IDENTITY}")), "{asked:?}");
    let (ran, asked) = helper(&format!("echo '{PASSWORD}'; echo '{PASSWORD}' >&2; exit 3"));
    assert_eq!((ran.status, asked.len()), (Some(1), 0));
    assert!(ran.stderr.contains("the credential helper `docker-credential-fake` failed"), "{}", ran.stderr);
    assert!(!ran.stderr.contains(PASSWORD), "{}", ran.stderr);
}

#[test]
fn a_helper_that_does_not_answer_is_given_up_and_named() {
    let project = with_helper(Project::with_file(SECRETS), "exec sleep 60");
    let guarded = Stub::answering([Reply::raw(401, "text/plain", "").header("www-authenticate", "Basic realm=\"x\"")]);
    let host = guarded.host();
    let project = with_docker_config(project, &json!({ "credsStore": "fake" }));
    let ran = project.bake(&simple(&format!("docker://{host}/x:1"), &["oci:out:1"]));
    assert_eq!(
        (ran.status, ran.stderr),
        (
            Some(1),
            format!(
                "deploy.yaml:3:9: image.base: no login for {host}: the credential helper `docker-credential-fake` did not answer\n  \
                 cause: the limit is 30 seconds\n  \
                 hint: run it by hand: `echo {host} | docker-credential-fake get`\n"
            )
        )
    );
}

#[test]
fn the_login_of_one_registry_is_not_shown_to_another() {
    let host = variable("SECRETBAKE_TEST_REGISTRY_AUTH");
    let (user, password) =
        (variable("SECRETBAKE_TEST_REGISTRY_AUTH_USER"), variable("SECRETBAKE_TEST_REGISTRY_AUTH_PASSWORD"));
    let (project, from) = project();
    let relay = Stub::before(&registry(), |_, _| None);
    let login = json!({ "auths": { &host: { "auth": base64(&format!("{user}:{password}")) } } });
    let project = with_docker_config(project, &login);
    let target = format!("{host}/{}:1", repository());
    // nothing is mounted from another registry: the layer is streamed
    let ran = project.baked(&simple(&format!("docker://{}/{from}:1", relay.host()), &[&format!("docker://{target}")]));
    let layers = relay.requests().iter().filter(|request| request.line.contains("/blobs/sha256:")).count();
    assert_eq!(layers, 2, "the config and the one layer");
    assert!(relay.requests().iter().all(|request| request.header("authorization").is_none()));

    let copied = project.path("copied");
    let credentials = format!("{user}:{password}");
    let to = format!("dir:{}", copied.display());
    skopeo(&[
        "copy",
        "--quiet",
        "--src-tls-verify=false",
        "--src-creds",
        &credentials,
        &format!("docker://{target}"),
        &to,
    ]);
    let manifest = fs::read(copied.join("manifest.json")).unwrap();
    assert!(ran.stdout.trim_end().ends_with(&crate::support::image::digest(&manifest)), "{}", ran.stdout);
}

#[test]
fn a_login_that_is_wrong_is_not_taken_for_none() {
    let host = variable("SECRETBAKE_TEST_REGISTRY_AUTH");
    let project = Project::empty();
    let inspect = |config: &serde_json::Value| {
        project.write("config.json", &config.to_string());
        let mut command = project.command(&["inspect", &format!("docker://{host}/none:1")]);
        let output = command.env("DOCKER_CONFIG", project.path("")).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    let none = inspect(&json!({}));
    assert!(
        none.starts_with(&format!("error: the registry {host} asks for a login for `docker://{host}/none:1`\n")),
        "{none}"
    );
    assert_eq!(
        inspect(&registry_login(&host, "somebody", "canary")),
        format!(
            "error: the registry {host} does not accept the login in Docker's configuration\n  \
             hint: log in again with `docker login {host}`\n"
        )
    );
}
