//! Reads which images other tools' files use: Kubernetes objects, Compose files and ECS task definitions.
//!
//! It is pure, and copies nothing but the names of images and of what uses them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::ecs::or_default;
use super::interpolation::with_defaults;
use super::node::{entries, get, text_at};
use super::{ecs, k8s};
use crate::diagnostic::lookalike::looks_like;
use crate::diagnostic::{Diagnostic, ForeignText};
use crate::image::digest::Digest;
use crate::image::name::ImageName;
use crate::manifest::yaml::{self, Kind, Node, Position};

/// The largest file, in bytes: the pods of a large cluster.
pub const MAX_BYTES: usize = 256 << 20;

/// The supported file formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkloadFormat {
    K8s,
    Compose,
    Ecs,
}

/// An image, and what uses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsedImage {
    pub name: ImageName,
    /// Such as `Deployment prod/web (api)`.
    pub used_by: String,
}

/// The images of a file.
#[derive(Debug, Default)]
pub struct UsedImages {
    pub images: Vec<UsedImage>,
    /// A warning for everything whose image is not known.
    pub notes: Vec<Diagnostic>,
}

impl UsedImages {
    /// Adds an image by its name there, if that can be one.
    fn add(&mut self, file: &str, transport: &str, image: &str, used_by: String) {
        match ImageName::parse(&format!("{transport}{image}")) {
            Ok(name) if looks_like(image).is_none() => self.images.push(UsedImage { name, used_by }),
            _ => self.notes.push(not_known(file, &used_by)),
        }
    }
}

/// Returns the images that a file uses. `file` is its name in diagnostics.
pub fn images(form: WorkloadFormat, file: &str, text: &[u8]) -> Result<UsedImages, Vec<Diagnostic>> {
    let mut used = UsedImages::default();
    match form {
        WorkloadFormat::Ecs => {
            for (image, used_by) in ecs::images(file, text)? {
                used.add(file, "docker://", &image, used_by);
            }
        }
        WorkloadFormat::Compose => {
            let root = yaml::read_foreign(file, text, 0)?;
            let Some(services) = get(&root, &["services"]) else {
                let problem = Diagnostic::error("no-services", format!("{file} has no `services`"));
                return Err(vec![problem.hint("give a Compose file, or the output of `docker compose config`")]);
            };
            for (service, node) in entries(services) {
                // without an image, Compose builds it
                let Some(image) = text_at(node, &["image"]) else { continue };
                match with_defaults(image) {
                    Some(image) => used.add(file, "", &image, format!("service {}", service.text)),
                    None => used.notes.push(
                        not_known(file, &format!("service {}", service.text))
                            .hint("its name has a variable: give the output of `docker compose config` instead"),
                    ),
                }
            }
        }
        WorkloadFormat::K8s => {
            for object in objects(file, text)? {
                object.images(file, &mut used);
            }
        }
    }
    Ok(used)
}

fn not_known(file: &str, used_by: &str) -> Diagnostic {
    let what = format!("{file}: the image of {} is not known", ForeignText::name(used_by));
    Diagnostic::warning("image-not-known", what)
}

/// One Kubernetes object, or a list of them.
#[derive(Deserialize)]
struct Object {
    #[serde(default, deserialize_with = "or_default")]
    kind: String,
    #[serde(default, deserialize_with = "or_default")]
    metadata: Metadata,
    items: Option<Vec<Object>>,
    // what is in other kinds is not known
    spec: Option<Box<RawValue>>,
    status: Option<Box<RawValue>>,
}

#[derive(Deserialize, Default)]
struct Metadata {
    #[serde(default, deserialize_with = "or_default")]
    name: String,
    #[serde(default, deserialize_with = "or_default")]
    namespace: String,
}

/// A pod's specification, or one that leads to it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(default, deserialize_with = "or_default")]
    containers: Vec<Container>,
    #[serde(default, deserialize_with = "or_default")]
    init_containers: Vec<Container>,
    #[serde(default, deserialize_with = "or_default")]
    ephemeral_containers: Vec<Container>,
    template: Option<Template>,
    job_template: Option<Template>,
}

#[derive(Deserialize)]
struct Template {
    spec: Option<Box<Spec>>,
}

#[derive(Deserialize)]
struct Container {
    #[serde(default, deserialize_with = "or_default")]
    name: String,
    #[serde(default, deserialize_with = "or_default")]
    image: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct PodStatus {
    #[serde(default, deserialize_with = "or_default")]
    phase: String,
    #[serde(default, deserialize_with = "or_default")]
    container_statuses: Vec<ContainerStatus>,
    #[serde(default, deserialize_with = "or_default")]
    init_container_statuses: Vec<ContainerStatus>,
    #[serde(default, deserialize_with = "or_default")]
    ephemeral_container_statuses: Vec<ContainerStatus>,
}

#[derive(Deserialize)]
struct ContainerStatus {
    #[serde(default, deserialize_with = "or_default")]
    name: String,
    #[serde(default, rename = "imageID", deserialize_with = "or_default")]
    image_id: String,
}

impl Spec {
    fn containers(&self) -> Vec<&Container> {
        let own = self.containers.iter().chain(&self.init_containers).chain(&self.ephemeral_containers);
        let below = [&self.template, &self.job_template].into_iter().flatten().filter_map(|it| it.spec.as_ref());
        own.chain(below.flat_map(|spec| spec.containers())).collect()
    }
}

impl Object {
    /// Tells whether this is neither an object of Kubernetes nor a list of some.
    fn is_of_no_kind(&self) -> bool {
        self.kind.is_empty() && self.items.is_none()
    }

    fn images(&self, file: &str, used: &mut UsedImages) {
        let Some(spec) = &self.spec else { return };
        // another kind may have other things under these names
        let Ok(spec) = serde_json::from_str::<Spec>(spec.get()) else { return };
        let status = match &self.status {
            Some(status) if self.kind == "Pod" => serde_json::from_str(status.get()).unwrap_or_default(),
            _ => PodStatus::default(),
        };
        // such a pod runs nothing any more
        if ["Succeeded", "Failed"].contains(&status.phase.as_str()) {
            return;
        }
        let statuses = [status.container_statuses, status.init_container_statuses, status.ephemeral_container_statuses];
        let running: BTreeMap<String, Digest> = statuses
            .into_iter()
            .flatten()
            .filter_map(|status| Some((status.name, Digest::parse(status.image_id.rsplit_once('@')?.1)?)))
            .collect();
        let namespace = if self.metadata.namespace.is_empty() { "default" } else { &self.metadata.namespace };
        for container in spec.containers() {
            let used_by = format!("{} {namespace}/{} ({})", self.kind, self.metadata.name, container.name);
            // the tag may have moved since the pod started
            let image = match running.get(&container.name) {
                Some(digest) if !container.image.contains('@') => format!("{}@{digest}", container.image),
                _ => container.image.clone(),
            };
            used.add(file, "docker://", &image, used_by);
        }
    }
}

/// Reads the objects of a file: JSON, or YAML documents.
fn objects(file: &str, text: &[u8]) -> Result<Vec<Object>, Vec<Diagnostic>> {
    let text = super::node::text(file, text)?;
    let wrong = |line: usize, column: usize| {
        // serde's message may quote a value
        let at = Position { line: line.max(1), column: column.max(1), offset: 0 };
        let problem = Diagnostic::error("not-kubernetes-objects", "not Kubernetes objects");
        vec![problem.at(yaml::place(file, at, String::new())).hint("give the output of `kubectl get pods -A -o json`")]
    };
    let mut objects = Vec::new();
    match text.trim_start().starts_with('{') {
        true => {
            let object: Object = serde_json::from_str(text).map_err(|error| wrong(error.line(), error.column()))?;
            if object.is_of_no_kind() {
                return Err(wrong(1, 1));
            }
            flatten(object, &mut objects);
        }
        false => {
            let documents = k8s::documents(file, text.as_bytes())?;
            // the command that should have written them may have failed
            if documents.is_empty() {
                return Err(wrong(1, 1));
            }
            for document in documents {
                let json = value(&document).to_string();
                let wrong = || wrong(document.at.line, document.at.column);
                let object: Object = serde_json::from_str(&json).map_err(|_| wrong())?;
                if object.is_of_no_kind() {
                    return Err(wrong());
                }
                flatten(object, &mut objects);
            }
        }
    }
    Ok(objects)
}

fn flatten(object: Object, objects: &mut Vec<Object>) {
    match object.items {
        Some(items) => items.into_iter().for_each(|item| flatten(item, objects)),
        None => objects.push(object),
    }
}

/// Returns a YAML node as JSON, with every scalar as a string: only names are read.
fn value(node: &Node) -> Value {
    match &node.kind {
        Kind::Scalar(scalar) if scalar.plain && ["", "~", "null"].contains(&scalar.text.as_str()) => Value::Null,
        Kind::Scalar(scalar) => Value::String(scalar.text.to_string()),
        Kind::Sequence(nodes) => Value::Array(nodes.iter().map(|node| value(node)).collect()),
        Kind::Mapping(_) => entries(node)
            .into_iter()
            .map(|(key, node)| (key.text.clone(), value(node)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns `IMAGE USED_BY`, and the warnings.
    fn read(form: WorkloadFormat, text: &str) -> (Vec<String>, Vec<String>) {
        let used = images(form, "file", text.as_bytes()).unwrap();
        let shown = used.images.iter().map(|used| format!("{} {}", used.name, used.used_by));
        (shown.collect(), used.notes.into_iter().map(|note| note.what).collect())
    }

    const WORKLOADS: &str = r#"{"kind":"List","items":[
        {"kind":"Deployment","metadata":{"name":"web","namespace":"prod"},"spec":{"template":{"spec":{
            "containers":[{"name":"api","image":"registry.example.com/crew:1"}],
            "initContainers":[{"name":"migrate","image":"crew/migrate"}]}}}},
        {"kind":"CronJob","metadata":{"name":"nightly"},"spec":{"jobTemplate":{"spec":{"template":{"spec":{
            "containers":[{"name":"job","image":"crew:2"}]}}}}}},
        {"kind":"Service","metadata":{"name":"web"},"spec":{"ports":[]}},
        {"kind":"Other","metadata":{"name":"x"},"spec":{"template":"text"}},
        {"kind":"PodList","items":[
            {"kind":"Pod","metadata":{"name":"web-1","namespace":"prod"},
             "spec":{"containers":[{"name":"api","image":"registry.example.com/crew:1"}],
                     "ephemeralContainers":[{"name":"debug","image":"busybox"}]},
             "status":{"phase":"Running","containerStatuses":[{"name":"api",
                "imageID":"registry.example.com/crew@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}]}},
            {"kind":"Pod","metadata":{"name":"done"},"spec":{"containers":[{"name":"a","image":"done:1"}]},
             "status":{"phase":"Succeeded"}}]}]}"#;

    #[test]
    fn kubernetes_objects_have_containers_at_any_depth_and_pods_the_digest_that_runs() {
        let expected = [
            "docker://registry.example.com/crew:1 Deployment prod/web (api)",
            "docker://crew/migrate Deployment prod/web (migrate)",
            "docker://crew:2 CronJob default/nightly (job)",
            "docker://registry.example.com/crew:1@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 \
             Pod prod/web-1 (api)",
            "docker://busybox Pod prod/web-1 (debug)",
        ];
        assert_eq!(read(WorkloadFormat::K8s, WORKLOADS).0, expected);
        // JSON is YAML too
        assert_eq!(read(WorkloadFormat::K8s, &format!("---\n{WORKLOADS}")).0, expected);
    }

    #[test]
    fn yaml_documents_are_read_one_by_one() {
        let text = "kind: Pod\nmetadata: { name: a }\nspec:\n  containers: [{ name: c, image: \"crew:1\" }]\n---\n\
                    kind: Job\nmetadata: { name: b }\nspec: { template: { spec: { containers: [{ name: c, image: Bad }] } } }\n";
        let (images, notes) = read(WorkloadFormat::K8s, text);
        assert_eq!(images, ["docker://crew:1 Pod default/a (c)"]);
        assert_eq!(notes, ["file: the image of Job default/b (c) is not known"]);
        let error = images_error("{\"items\": [{\"kind\": 7}]}");
        assert_eq!(error, "not Kubernetes objects");
    }

    #[test]
    fn a_file_of_another_format_is_refused_and_an_empty_list_is_not() {
        let compose = "services:\n  api: { image: \"crew:1\" }\n";
        assert_eq!(images_error(compose), "not Kubernetes objects");
        for text in ["{\"family\": \"crew\"}", "", "# nothing\n---\n"] {
            assert_eq!(images_error(text), "not Kubernetes objects", "{text}");
        }
        for text in ["{}", "[]", WORKLOADS] {
            let error = images(WorkloadFormat::Ecs, "file", text.as_bytes()).unwrap_err().remove(0);
            assert_eq!(error.what, "not the JSON of a task definition", "{text}");
        }
        let error = images(WorkloadFormat::Compose, "file", WORKLOADS.as_bytes()).unwrap_err().remove(0);
        assert_eq!(error.what, "file has no `services`");
        assert_eq!(read(WorkloadFormat::K8s, "{\"kind\":\"List\",\"items\":[]}").0, [] as [String; 0]);
    }

    fn images_error(text: &str) -> String {
        images(WorkloadFormat::K8s, "file", text.as_bytes()).unwrap_err().remove(0).what
    }

    #[test]
    fn compose_and_ecs_name_their_images() {
        let text =
            "services:\n  api: { image: \"crew:${TAG:-1}\" }\n  web: { build: . }\n  job: { image: \"crew:$TAG\" }\n";
        let (images, notes) = read(WorkloadFormat::Compose, text);
        assert_eq!((images, notes.len()), (vec!["crew:1 service api".to_owned()], 1));
        let text = r#"{"taskDefinition":{"family":"crew","containerDefinitions":[{"name":"api","image":"r.example.com/crew:1"},
            {"name":"side","image":null}]}}"#;
        assert_eq!(read(WorkloadFormat::Ecs, text).0, ["docker://r.example.com/crew:1 crew (api)"]);
    }
}
