//! "We have no Docker socket in our pipelines": secretbake's own image, and the Job and the Tekton task that run it, as they are in
//! the repository. Stand-ins replace what cannot be pulled here: the builder has the program already, and the base has this machine's
//! C library.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, Weak};

use base64::Engine as _;
use serde_json::{Value, json};

use crate::support::engine::Engine;
use crate::support::image::TestImage;
use crate::support::moto::Moto;
use crate::support::project::{Project, SECRET_KEY};
use crate::support::{unique, variable};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Reads a file of the repository as YAML.
fn yaml(path: &str) -> Value {
    serde_yaml::from_str(&fs::read_to_string(root().join(path)).unwrap()).unwrap()
}

/// Stands in for the compiler: it takes what Cargo would need, and gives the program that the tests run.
const CARGO: &str = "#!/bin/sh\nset -eu\ncd /build\n[ \"$*\" = 'build --locked --release' ]\n\
                     for needed in Cargo.toml Cargo.lock src/main.rs src/image/launcher/x86_64 schemas/org.json; do cat \"$needed\" >/dev/null; done\n\
                     [ ! -e target ] && [ ! -e tests ] && [ ! -e .git ]\n\
                     /bin/busybox mkdir -p target/release\n/bin/busybox cp /secretbake target/release/secretbake\n";

/// secretbake's own image, made by the repository's Dockerfile and removed when the test ends.
struct Tool {
    engine: Engine,
    name: String,
}

impl Tool {
    /// Returns the image on an engine; tests that run side by side share it.
    fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Tool>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap();
        shared.upgrade().unwrap_or_else(|| {
            let tool = Arc::new(Tool::build(&Engine::one()));
            *shared = Arc::downgrade(&tool);
            tool
        })
    }

    fn build(engine: &Engine) -> Self {
        let program = env!("CARGO_BIN_EXE_secretbake");
        let builder = TestImage::busybox(json!({ "Env": ["PATH=/usr/local/bin:/bin"] }))
            .file("usr/local/bin/cargo", 0o755, CARGO.as_bytes())
            .file("secretbake", 0o755, &fs::read(program).unwrap());
        let mut base = TestImage::empty(json!({}));
        let authorities = "/etc/ssl/certs/ca-certificates.crt".to_owned();
        for library in libraries(program).into_iter().chain([authorities]) {
            base = base.file(library.trim_start_matches('/'), 0o755, &fs::read(&library).unwrap());
        }
        let (builder, base) = (engine.load(&builder), engine.load(&base));
        let tool = Tool { engine: engine.clone(), name: format!("sbtest/{}:1", unique("tool")) };
        let arguments = [format!("BUILDER={}", builder.name), format!("BASE={}", base.name)];
        let build = |more: &[&str]| {
            let named =
                ["build", "-q", "--network", "none", "--build-arg", &arguments[0], "--build-arg", &arguments[1]];
            engine.cli(&[&named, more, &[root().to_str().unwrap()]].concat());
        };
        build(&["-t", &tool.name]);
        // a name for the other stage, so that it can be removed
        build(&["--target", "build", "-t", &tool.build_stage()]);
        engine.cli(&["rmi", "-f", &tool.build_stage()]);
        tool
    }

    fn build_stage(&self) -> String {
        format!("{}-build", self.name)
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        let _ = self.engine.try_cli(&["rmi", "-f", &self.name]);
    }
}

/// Returns the files that a program is linked with.
fn libraries(program: &str) -> Vec<String> {
    let listed = Command::new("ldd").arg(program).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    listed.split_whitespace().filter(|word| word.starts_with('/')).map(str::to_owned).collect()
}

/// A container as a pod's specification says.
struct Pod<'a> {
    tool: &'a Tool,
    /// `securityContext` of the pod.
    security: Value,
    container: Value,
    /// The host's folders by the container's paths.
    folders: BTreeMap<String, PathBuf>,
}

impl Pod<'_> {
    /// Runs the container on the host's network and returns its standard output; what the pod does not say is an error.
    fn run(&self, endpoint: &str) -> String {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let own = &self.container["securityContext"];
        let id = |name: &str| own.get(name).unwrap_or(&self.security[name]).as_u64().unwrap();
        assert_eq!(own.get("runAsNonRoot").unwrap_or(&self.security["runAsNonRoot"]), true);
        assert_eq!((&own["readOnlyRootFilesystem"], &own["allowPrivilegeEscalation"]), (&json!(true), &json!(false)));
        assert_eq!(own["capabilities"]["drop"], json!(["ALL"]));
        let mut arguments: Vec<String> = ["run", "--rm", "--network", "host", "--read-only", "--cap-drop", "ALL"]
            .into_iter()
            .chain(["--security-opt", "no-new-privileges"])
            .map(str::to_owned)
            .collect();
        let mut add = |option: &str, value: String| arguments.extend([option.to_owned(), value]);
        add("--user", format!("{}:{}", id("runAsUser"), id("runAsGroup")));
        add("--group-add", self.security["fsGroup"].to_string());
        add("--workdir", text(&self.container["workingDir"]));
        add("--env", format!("AWS_ENDPOINT_URL={endpoint}"));
        for variable in self.container["env"].as_array().unwrap() {
            add("--env", format!("{}={}", text(&variable["name"]), text(&variable["value"])));
        }
        for (path, folder) in &self.folders {
            add("--volume", format!("{}:{path}:ro", folder.display()));
        }
        add("--tmpfs", "/tmp:mode=1777".to_owned());
        let words = |name: &str| self.container[name].as_array().cloned().unwrap_or_default();
        let command: Vec<String> = words("command").iter().map(text).collect();
        if let [program] = &command[..] {
            add("--entrypoint", program.clone());
        }
        arguments.push(self.tool.name.clone());
        arguments.extend(words("args").iter().map(text));
        self.tool.engine.text(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    }
}

/// Lays files out as a kubelet does for a Secret or a ConfigMap: links to a folder that is replaced as a whole.
fn volume(project: &Project, name: &str, files: &[(&str, &str)], mode: u64, group: u64) -> PathBuf {
    let folder = project.path(name);
    let data = folder.join("..2026");
    fs::create_dir_all(&data).unwrap();
    symlink("..2026", folder.join("..data")).unwrap();
    let group = Some(u32::try_from(group).unwrap());
    for (file, content) in files {
        let path = data.join(file);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(u32::try_from(mode).unwrap())).unwrap();
        std::os::unix::fs::chown(&path, Some(0), group).unwrap();
        symlink(format!("..data/{file}"), folder.join(file)).unwrap();
    }
    folder
}

/// A deployment in the registry that asks for a login, and everything that a pipeline has of it.
struct Deployment {
    project: Project,
    target: String,
    manifest: String,
    org: String,
    login: String,
    moto: Moto,
}

impl Deployment {
    /// Pushes a base image, stores its secret, and returns the files of the pipeline.
    fn new(engine: &Engine) -> Self {
        let (project, moto) = (Project::empty(), Moto::new());
        moto.text("token", "canary-in-the-image");
        let host = variable("SECRETBAKE_TEST_REGISTRY_AUTH");
        let (user, password) = ("SECRETBAKE_TEST_REGISTRY_AUTH_USER", "SECRETBAKE_TEST_REGISTRY_AUTH_PASSWORD");
        let login = format!("{}:{}", variable(user), variable(password));
        let login = base64::engine::general_purpose::STANDARD.encode(login);
        let login = json!({ "auths": { &host: { "auth": login } } }).to_string();
        fs::create_dir(project.path("docker")).unwrap();
        project.write("docker/config.json", &login);
        let folder = project.path("docker");
        let project = project.variable("DOCKER_CONFIG", folder.to_str().unwrap());

        let image = engine.load(&TestImage::busybox(json!({ "Cmd": ["/bin/sh"], "User": "app" })));
        let repository = format!("{host}/sbtest/{}", unique("pipeline"));
        let base = format!("{repository}:1");
        engine.cli(&["tag", &image.name, &base]);
        engine.cli(&["--config", folder.to_str().unwrap(), "push", &base]);
        engine.cli(&["rmi", &base]);

        let target = format!("docker://{repository}:1-prod");
        let manifest = format!(
            "version: 1\nimage:\n  base: docker://{base}\n  tags: [\"{target}\"]\nenv:\n  TOKEN: {{ secret: {0} }}\n\
             files:\n  /app/token: {{ secret: {0}, owner: app }}\n",
            moto.name("token")
        );
        let org = format!(
            "version: 1\ncredentials:\n  - name: aws\n    provider: aws-secrets-manager\n    region: us-east-1\n    default: true\n\
             \x20   access_key_id: AKIAEXAMPLEEXAMPLE00\n    secret_access_key: {SECRET_KEY}\n"
        );
        Deployment { project, target, manifest, org, login, moto }
    }

    /// Expects the baked image in the registry.
    fn is_baked(&self, printed: &str) {
        assert!(!printed.contains("canary"), "{printed}");
        let inspected = self.project.run(&["inspect", &self.target]);
        assert_eq!(inspected.status, Some(0), "{}", inspected.stderr);
        assert!(inspected.stdout.contains("TOKEN") && inspected.stdout.contains("/app/token"), "{}", inspected.stdout);
    }
}

#[test]
fn the_dockerfile_builds_with_the_toolchain_of_the_repository_from_images_by_digest() {
    let dockerfile = fs::read_to_string(root().join("Dockerfile")).unwrap();
    let toolchain = fs::read_to_string(root().join("rust-toolchain.toml")).unwrap();
    let channel = toolchain.lines().find_map(|line| line.strip_prefix("channel = ")).unwrap().trim_matches('"');
    assert!(dockerfile.contains(&format!("ENV RUSTUP_TOOLCHAIN={channel}\n")), "{dockerfile}");
    for file in ["Dockerfile", "docs/pipelines.md"] {
        let text = fs::read_to_string(root().join(file)).unwrap();
        assert!(text.contains(&format!("/rust:{channel}-slim-bookworm")), "{file}");
    }
    for name in ["BUILDER", "BASE"] {
        let image = dockerfile.lines().find_map(|line| line.strip_prefix(&format!("ARG {name}="))).unwrap();
        let digest = image.split_once("@sha256:").map_or("", |(_, digest)| digest);
        assert!(digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()), "{image}");
    }
}

#[test]
fn the_tools_own_image_has_the_program_and_neither_root_nor_a_shell() {
    let tool = Tool::shared();
    let engine = &tool.engine;
    let printed = engine.text(&["run", "--rm", "--network", "none", "--read-only", &tool.name, "-V"]);
    assert_eq!(printed, format!("secretbake {}", env!("CARGO_PKG_VERSION")));
    let config = &engine.inspect(&tool.name)["Config"];
    assert_eq!(config["User"], "65532:65532");
    assert_eq!(config["Entrypoint"], json!(["/usr/local/bin/secretbake"]));
    let shell = engine.try_cli(&["run", "--rm", "--network", "none", "--entrypoint", "sh", &tool.name, "-c", "true"]);
    assert!(!shell.status.success());
}

/// Fills a step's variables in, as Tekton does: parameters from the run or their defaults, and the workspaces' paths.
fn tekton(value: &Value, task: &Value, run: &Value) -> Value {
    let parameter = |name: &str| {
        let named = |list: &Value| list.as_array().unwrap().iter().find(|one| one["name"] == name).cloned();
        let given = named(&run["params"]).map(|given| given["value"].clone());
        given.unwrap_or_else(|| named(&task["params"]).unwrap()["default"].clone())
    };
    match value {
        Value::String(text) => match text.strip_prefix("$(params.").and_then(|rest| rest.strip_suffix(')')) {
            Some(name) => parameter(name.trim_end_matches("[*]")),
            None => Value::String(text.replace("$(workspaces.", "/workspace/").replace(".path)", "")),
        },
        Value::Array(list) => {
            let filled = list.iter().map(|one| tekton(one, task, run));
            filled.flat_map(|one| if let Value::Array(many) = one { many } else { vec![one] }).collect()
        }
        Value::Object(map) => map.iter().map(|(name, value)| (name.clone(), tekton(value, task, run))).collect(),
        other => other.clone(),
    }
}

mod as_root {
    use super::*;
    use crate::support::needs_root;

    #[test]
    fn the_kubernetes_job_bakes_from_registry_to_registry() {
        needs_root();
        let tool = Tool::shared();
        let deployment = Deployment::new(&tool.engine);
        let pod = yaml("contrib/kubernetes/job.yaml")["spec"]["template"]["spec"].clone();
        let group = pod["securityContext"]["fsGroup"].as_u64().unwrap();
        let mut folders = BTreeMap::new();
        for mount in pod["containers"][0]["volumeMounts"].as_array().unwrap() {
            let volumes = pod["volumes"].as_array().unwrap();
            let spec = volumes.iter().find(|volume| volume["name"] == mount["name"]).unwrap();
            let (mode, files) = match (spec["secret"]["secretName"].as_str(), spec["configMap"]["name"].as_str()) {
                (Some("secretbake-org"), _) => (&spec["secret"]["defaultMode"], ("org.yaml", &deployment.org)),
                (Some("registry-login"), _) => {
                    let item = &spec["secret"]["items"][0];
                    assert_eq!(item["key"], ".dockerconfigjson");
                    (&spec["secret"]["defaultMode"], (item["path"].as_str().unwrap(), &deployment.login))
                }
                (None, Some("secretbake-manifests")) => (&json!(0o644), ("deploy.yaml", &deployment.manifest)),
                _ => {
                    assert!(spec.get("emptyDir").is_some() && mount["mountPath"] == "/tmp", "{spec}");
                    continue;
                }
            };
            let name = spec["name"].as_str().unwrap();
            let folder = volume(&deployment.project, name, &[(files.0, files.1)], mode.as_u64().unwrap(), group);
            folders.insert(mount["mountPath"].as_str().unwrap().to_owned(), folder);
        }
        let (security, container) = (pod["securityContext"].clone(), pod["containers"][0].clone());
        let printed = Pod { tool: &tool, security, container, folders }.run(&deployment.moto.endpoint);
        let report: Value = serde_json::from_str(&printed).unwrap();
        assert_eq!(report["images"][0]["status"], "baked", "{report}");
        deployment.is_baked(&printed);
    }

    #[test]
    fn the_tekton_task_bakes_from_registry_to_registry() {
        needs_root();
        let tool = Tool::shared();
        let deployment = Deployment::new(&tool.engine);
        let (task, run) = (yaml("contrib/tekton/task.yaml"), yaml("contrib/tekton/taskrun.yaml"));
        assert_eq!(run["spec"]["taskRef"]["name"], task["metadata"]["name"]);
        let security = run["spec"]["podTemplate"]["securityContext"].clone();
        let mut folders = BTreeMap::new();
        for declared in task["spec"]["workspaces"].as_array().unwrap() {
            let bindings = run["spec"]["workspaces"].as_array().unwrap();
            let bound = bindings.iter().find(|bound| bound["name"] == declared["name"]).unwrap();
            let (file, content) = match bound["secret"]["secretName"].as_str() {
                Some("secretbake-org") => ("org.yaml", &deployment.org),
                Some("registry-login") => {
                    let item = &bound["secret"]["items"][0];
                    assert_eq!(item["key"], ".dockerconfigjson");
                    (item["path"].as_str().unwrap(), &deployment.login)
                }
                _ => ("deploy.yaml", &deployment.manifest),
            };
            let mode = bound["secret"]["defaultMode"].as_u64().unwrap_or(0o644);
            let name = declared["name"].as_str().unwrap();
            let folder =
                volume(&deployment.project, name, &[(file, content)], mode, security["fsGroup"].as_u64().unwrap());
            folders.insert(format!("/workspace/{name}"), folder);
        }
        let container = tekton(&task["spec"]["steps"][0], &task["spec"], &run["spec"]);
        let printed = Pod { tool: &tool, security, container, folders }.run(&deployment.moto.endpoint);
        assert!(printed.starts_with(&format!("{}@sha256:", deployment.target)), "{printed}");
        deployment.is_baked(&printed);
    }
}
