//! "What I put in is what comes out": of anything that is written and read again, for values, names and images that nobody thought of.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::process::Command;

use base64::Engine as _;
use flate2::read::GzDecoder;
use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestCaseError};
use secretbake::image::Base;
use secretbake::image::config::{Config, ConfigEdit};
use secretbake::image::env_file::{self, Format};
use secretbake::image::layer::{self, Directory, NewFile, Ownership};
use secretbake::image::manifest::with_layers;
use secretbake::image::name::ImageName;
use secretbake::image::provenance::{self, Origin, Provenance, TemplateOrigin, ValueOrigin, WholeSecret};
use secretbake::image::recipe::{self, RecipeText};
use secretbake::image::tree::Entry;
use secretbake::image::undo::RECIPE;
use secretbake::manifest::{self, VariableSource};
use secretbake::ops::import::{ImportFormat, import};
use secretbake::secret::SecretBytes;
use serde_json::{Value, json};

use crate::env_from::variables;
use crate::support::project::Project;

/// Tries this many cases, the same in every run, or as many new ones as `PROPTEST_CASES` says.
fn config(cases: u32) -> ProptestConfig {
    let usual = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => usual,
        None => ProptestConfig { cases, rng_seed: RngSeed::Fixed(16), ..usual },
    }
}

/// Any text that a variable can hold.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[^\0]{0,20}",
        "[ -~\n\t]{0,40}",
        prop::sample::select(vec![
            "",
            " ",
            "'",
            "\"",
            "\\",
            "$HOME",
            "`id`",
            "a\r\nb",
            "é\u{1f511}",
            "null",
            "~",
            "- a: b",
            "#"
        ])
        .prop_map(str::to_owned),
    ]
}

fn percent_decoded(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        match (first, after) {
            (b'%', [high, low, after @ ..]) => {
                bytes.push(u8::from_str_radix(std::str::from_utf8(&[*high, *low]).unwrap(), 16).unwrap());
                rest = after;
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).unwrap()
}

/// Returns what a line of shell prints.
fn shell(line: &str) -> Vec<u8> {
    let output = Command::new("sh").args(["-c", line]).env_clear().output().unwrap();
    assert!(output.status.success(), "{line:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

proptest! {
    #![proptest_config(config(12))]

    /// Each case bakes this many values at once.
    #[test]
    fn a_value_reaches_the_image_as_it_was_and_each_filter_can_be_read_back(values in prop::collection::vec(text(), 20)) {
        let project = Project::with_file("  none: none\n");
        let secrets: serde_json::Map<String, Value> =
            values.iter().enumerate().map(|(index, value)| (format!("s{index}"), json!(value))).collect();
        project.write("secrets.yaml", &json!({ "version": 1, "secrets": secrets }).to_string());
        let mut env = serde_json::Map::new();
        for index in 0..values.len() {
            let with = json!({ "x": { "secret": format!("s{index}") } });
            env.insert(format!("PLAIN_{index}"), json!({ "secret": format!("s{index}") }));
            for filter in ["url", "json", "base64", "shell", "json | base64"] {
                let name = format!("{}_{index}", filter.replace(" | ", "_").to_uppercase());
                env.insert(name, json!({ "template": format!("<{{{{x | {filter}}}}}>"), "with": with }));
            }
        }
        let image = json!({ "base": "scratch", "tags": ["oci:out:1"] });
        let ran = project.bake(&json!({ "version": 1, "image": image, "env": env }).to_string());
        prop_assert_eq!(ran.status, Some(0), "{}", ran.stderr);
        let baked: BTreeMap<String, String> = variables(&project).into_iter().collect();
        let base64 = |text: &str| base64::engine::general_purpose::STANDARD.decode(text).unwrap();
        let in_json = |text: &str| serde_json::from_str::<String>(&format!("\"{text}\"")).unwrap();
        for (index, value) in values.iter().enumerate() {
            let of = |filter: &str| {
                let text = &baked[&format!("{filter}_{index}")];
                text.strip_prefix('<').and_then(|text| text.strip_suffix('>')).unwrap().to_owned()
            };
            prop_assert_eq!(&baked[&format!("PLAIN_{index}")], value);
            prop_assert_eq!(&percent_decoded(&of("URL")), value);
            prop_assert_eq!(&in_json(&of("JSON")), value);
            prop_assert_eq!(base64(&of("BASE64")), value.as_bytes());
            prop_assert_eq!(&in_json(&String::from_utf8(base64(&of("JSON_BASE64"))).unwrap()), value);
            prop_assert_eq!(shell(&format!("printf %s {}", of("SHELL"))), value.as_bytes());
        }
    }
}

proptest! {
    #![proptest_config(config(3))]

    #[test]
    fn an_image_says_what_was_baked_wherever_it_is(
        env in prop::collection::btree_map("[A-Z]{1,4}", (0..6_usize, any::<bool>(), any::<bool>()), 1..6),
        files in prop::collection::btree_map("/[a-z]{1,4}", 0..4_usize, 0..3),
    ) {
        let project = Project::with_file("  none: none\n");
        // the manifest may name two more, which are absent
        let secrets: serde_json::Map<String, Value> =
            (0..4).map(|number| (format!("s{number}"), json!({ "value": r#"{"k":"v"}"#, "version_id": format!("v{number}") }))).collect();
        project.write("secrets.yaml", &json!({ "version": 1, "secrets": secrets }).to_string());
        let reference = |number: usize, key: bool| format!("s{number}{}", if key { "#k" } else { "" });
        let origin = |number: usize, key: bool| {
            let mut origin = json!({ "credential": "local", "secret": format!("s{number}") });
            if key {
                origin["key"] = json!("k");
            }
            match number {
                0..4 => origin["version_id"] = json!(format!("v{number}")),
                _ => origin["absent"] = json!(true),
            }
            origin
        };
        let written: BTreeMap<&String, Value> = env
            .iter()
            .map(|(name, (number, key, optional))| (name, json!({ "secret": reference(*number, *key), "optional": *optional || *number > 3 })))
            .collect();
        let paths: BTreeMap<&String, Value> =
            files.iter().map(|(path, number)| (path, json!({ "secret": reference(*number, false) }))).collect();
        let tags = ["oci:out:1", "oci-archive:oci.tar:1", "docker-archive:docker.tar:crew:1"];
        let image = json!({ "base": "scratch", "tags": tags });
        let ran = project.bake(&json!({ "version": 1, "image": image, "env": written, "files": paths }).to_string());
        prop_assert_eq!(ran.status, Some(0), "{}", ran.stderr);
        let variables: BTreeMap<&String, Value> =
            env.iter().map(|(name, (number, key, _))| (name, origin(*number, *key))).collect();
        let paths: BTreeMap<&String, Value> = files.iter().map(|(path, number)| (path, origin(*number, false))).collect();
        for name in tags {
            let ran = project.run(&["inspect", name, "--format", "json"]);
            let seen: Value = serde_json::from_str(&ran.stdout).unwrap();
            prop_assert_eq!(&seen["provenance"]["variables"], &json!(variables), "{}: {}", name, ran.stderr);
            let found = seen["provenance"].get("files").cloned().unwrap_or_else(|| json!({}));
            prop_assert_eq!(found, json!(paths), "{}", name);
        }
    }
}

proptest! {
    #![proptest_config(config(128))]

    #[test]
    fn an_env_file_is_read_as_it_was_meant_or_refused(values in prop::collection::vec(text(), 1..6)) {
        let named: Vec<(String, SecretBytes)> = values
            .iter()
            .enumerate()
            .map(|(index, value)| (format!("V{index}"), SecretBytes::new(value.as_bytes().to_vec())))
            .collect();
        let pairs: Vec<(&str, &SecretBytes)> = named.iter().map(|(name, value)| (&**name, value)).collect();
        let written = |format| env_file::write(format, &pairs).map(|file| String::from_utf8(file.expose().to_vec()).unwrap());
        // these carry every text
        let json: BTreeMap<String, String> = serde_json::from_str(&written(Format::Json).unwrap()).unwrap();
        prop_assert_eq!(json.into_values().collect::<Vec<_>>(), values.clone());
        let printed = (0..values.len()).map(|index| format!("printf '%s\\0' \"$V{index}\"; ")).collect::<String>();
        let expected: String = values.iter().map(|value| format!("{value}\0")).collect();
        let sourced = shell(&format!("{}\n{printed}", written(Format::Shell).unwrap()));
        prop_assert_eq!(String::from_utf8(sourced).unwrap(), expected);
        let env0 = written(Format::Env0).unwrap();
        let read: Vec<&str> = env0.split_terminator('\0').map(|entry| entry.split_once('=').unwrap().1).collect();
        prop_assert_eq!(read, values.clone());
        // and what we ourselves import from a dotenv file is what we write there; a value may look like a credential, and is not kept then
        if let Ok(dotenv) = written(Format::Dotenv) {
            imports_as(ImportFormat::Dotenv, &dotenv, &values)?;
        }
    }

    #[test]
    fn a_value_is_imported_as_its_tool_reads_it(values in prop::collection::vec(text(), 1..6)) {
        let named = |value: &dyn Fn(&str) -> String| -> Vec<(String, String)> {
            values.iter().enumerate().map(|(index, text)| (format!("V{index}"), value(text))).collect()
        };
        let list = |variables: Vec<(String, String)>| -> Value {
            variables.into_iter().map(|(name, value)| json!({ "name": name, "value": value })).collect()
        };
        // Compose and Kubernetes take `$$` for `$`
        let doubled = |text: &str| text.replace('$', "$$");
        let compose: BTreeMap<String, String> = named(&doubled).into_iter().collect();
        let compose = json!({ "services": { "crew": { "image": "crew:1", "environment": compose } } });
        imports_as(ImportFormat::Compose, &compose.to_string(), &values)?;
        let task = json!({ "containerDefinitions": [{ "name": "crew", "environment": list(named(&str::to_owned)) }] });
        imports_as(ImportFormat::Ecs, &task.to_string(), &values)?;
        let container = json!({ "name": "crew", "image": "crew:1", "env": list(named(&doubled)) });
        let pod = json!({ "apiVersion": "v1", "kind": "Pod", "spec": { "containers": [container] } });
        imports_as(ImportFormat::K8s, &pod.to_string(), &values)?;
    }

    /// The writer is another implementation of YAML: it chooses between plain, quoted and block scalars.
    #[test]
    fn a_plain_value_is_what_another_writer_of_yaml_wrote(values in prop::collection::vec(text(), 1..6)) {
        let env: BTreeMap<String, &String> =
            values.iter().enumerate().map(|(index, value)| (format!("V{index}"), value)).collect();
        let written = serde_yaml::to_string(&json!({ "version": 1, "image": { "base": "crew:1" }, "env": env })).unwrap();
        let (manifest, problems) = manifest::read("deploy.yaml", written.as_bytes());
        let Some(manifest) = manifest else {
            return Err(TestCaseError::fail(format!("{written}: {problems:?}")));
        };
        plain_values_are(&manifest, &values, &written)?;
        prop_assert_eq!(manifest.env.len(), values.len());
    }
}

/// Expects each plain value of a manifest to be the one with its number.
fn plain_values_are(manifest: &manifest::Manifest, values: &[String], written: &str) -> Result<(), TestCaseError> {
    for variable in &manifest.env {
        let index: usize = variable.name[1..].parse().unwrap();
        if let VariableSource::Plain(value) = &variable.source {
            prop_assert_eq!(value, &values[index], "{:?}", written);
        }
    }
    Ok(())
}

/// Imports a file, and expects each value to be the plain one of the manifest, or a secret. In a dotenv file, a value with a line that
/// looks like another variable is refused, since the quotes may be a mistake.
fn imports_as(format: ImportFormat, text: &str, values: &[String]) -> Result<(), TestCaseError> {
    let imported = import(format, "file", text.as_bytes(), None);
    let imported = match imported {
        Ok(imported) => imported,
        Err(problems) if problems.iter().any(|problem| problem.code == "open-quotes") => return Ok(()),
        Err(problems) => return Err(TestCaseError::fail(format!("{text:?}: {problems:?}"))),
    };
    let manifest = imported.manifest.replace("base: \n", "base: scratch\n");
    let (manifest, problems) = manifest::read("deploy.yaml", manifest.as_bytes());
    let Some(manifest) = manifest else {
        return Err(TestCaseError::fail(format!("{text:?}: {problems:?}")));
    };
    prop_assert_eq!(manifest.env.len(), values.len(), "{:?}", text);
    plain_values_are(&manifest, values, text)
}

/// JSON that a config of another tool's may hold.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-z/ é\"]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map("[A-Z][a-z]{0,4}", inner, 0..3).prop_map(|map| json!(map)),
        ]
    })
}

fn words() -> impl Strategy<Value = Value> {
    prop_oneof![Just(Value::Null), prop::collection::vec("[a-z/-]{1,6}", 0..3).prop_map(Value::from),]
}

/// The config of an image, with or without each field.
fn base() -> impl Strategy<Value = Value> {
    let container = (
        prop::option::of(prop::collection::vec("[ABC]=[a-z=]{0,4}", 0..4)),
        prop::option::of(words()),
        prop::option::of(words()),
        prop::option::of(prop::collection::btree_map("[a-c]", "[a-z]{0,3}", 0..3)),
        prop::option::of(prop::sample::select(vec![
            json!(["NONE"]),
            json!(["CMD", "a"]),
            json!(["CMD-SHELL", "b"]),
            json!([]),
        ])),
        prop::collection::btree_map("X[a-z]{0,3}", any_json(), 0..3),
    );
    let root = (
        prop::option::of(container),
        prop::option::of(Just("2026-01-01T00:00:00Z")),
        0..4_usize,
        prop::option::of(any::<bool>()),
        prop::collection::btree_map("x[a-z]{0,3}", any_json(), 0..3),
    );
    root.prop_map(|(container, created, layers, history, others)| {
        let mut root: serde_json::Map<String, Value> = others.into_iter().collect();
        root.insert("os".to_owned(), json!("linux"));
        root.insert("architecture".to_owned(), json!("amd64"));
        let diff_ids: Vec<String> = (0..layers).map(|layer| format!("sha256:{layer:064x}")).collect();
        root.insert("rootfs".to_owned(), json!({ "type": "layers", "diff_ids": diff_ids }));
        if let Some(created) = created {
            root.insert("created".to_owned(), json!(created));
        }
        if let Some(with_empty) = history {
            let step = |layer| json!({ "created_by": format!("step {layer}") });
            let empty = with_empty.then(|| json!({ "created_by": "ENV", "empty_layer": true }));
            root.insert("history".to_owned(), (0..layers).map(step).chain(empty).collect());
        }
        if let Some((env, entrypoint, cmd, labels, test, others)) = container {
            let mut container: serde_json::Map<String, Value> = others.into_iter().collect();
            let mut set =
                |field: &str, value: Option<Value>| value.map(|value| container.insert(field.to_owned(), value));
            set("Env", env.map(Value::from));
            set("Entrypoint", entrypoint);
            set("Cmd", cmd);
            set("Labels", labels.map(|labels| json!(labels)));
            set("Healthcheck", test.map(|test| json!({ "Test": test })));
            root.insert("config".to_owned(), Value::Object(container));
        }
        Value::Object(root)
    })
}

fn new_layer(content: &str) -> layer::Layer {
    layer::Layer::new(&SecretBytes::new(content.as_bytes().to_vec()), "secretbake")
}

proptest! {
    #![proptest_config(config(512))]

    /// What a rebake stands on.
    #[test]
    fn a_bake_that_is_taken_off_leaves_the_base_for_the_next_one(
        base in base(),
        launch in any::<bool>(),
        layers in 0..3_usize,
        created in prop::option::of(Just("2026-11-26T00:00:00Z")),
        set in prop::collection::btree_set("[A-F]", 0..4),
        remove in prop::collection::btree_set("[A-F]", 0..2),
        pretty in any::<bool>(),
    ) {
        let bytes = if pretty { serde_json::to_vec_pretty(&base) } else { serde_json::to_vec(&base) }.unwrap();
        let base = Config::parse(bytes).unwrap();
        let remove: Vec<&str> = remove.iter().filter(|name| !set.contains(*name)).map(|name| &**name).collect();
        let new_layers: Vec<layer::Layer> = (0..layers).map(|layer| new_layer(&format!("layer {layer}"))).collect();
        let edit = |value: &'static str| ConfigEdit {
            launch,
            opens_files: false,
            set: set.iter().map(|name| (&**name, value)).collect(),
            remove: remove.clone(),
            labels: vec![("dev.secretbake.provenance", Some(value.to_owned())), ("org.opencontainers.image.base.name", Some("base".to_owned()))],
            layers: &new_layers,
            created,
        };
        let undo = base.undo(&edit("old"), &std::collections::BTreeSet::new()).unwrap();
        let read = |edited: SecretBytes| Config::parse(edited.expose().to_vec()).unwrap();
        let old = read(base.clone().edit(&edit("old")).unwrap());
        let taken_off = old.take_off(&undo).unwrap();
        prop_assert_eq!(taken_off.diff_ids().unwrap(), base.diff_ids().unwrap());
        let again = read(taken_off.edit(&edit("new")).unwrap());
        let direct = read(base.edit(&edit("new")).unwrap());
        prop_assert_eq!(String::from_utf8_lossy(again.bytes()), String::from_utf8_lossy(direct.bytes()));
    }

    /// What the bake saw of the base's tree, and the manifest, as the next rebake reads them.
    #[test]
    fn a_rebake_knows_what_the_bake_knew(
        base in base(),
        tree in prop::collection::btree_map("(/[a-z.é ]{1,5}){1,3}", entry(), 0..4),
        variables in prop::collection::btree_map("[A-Z]{1,3}", any_json(), 0..3),
        replaced in prop::collection::btree_set("[A-C]", 0..2),
    ) {
        let config = Config::parse(base.to_string().into_bytes()).unwrap();
        let layers = [new_layer("layer")];
        let provenance = json!({ "version": 1, "inject": "launcher", "variables": {}, "files": {} }).to_string();
        let mut edit = ConfigEdit { launch: true, layers: &layers, ..ConfigEdit::default() };
        edit.labels.push((provenance::LABEL, Some(provenance)));
        let undo = config.undo(&edit, &replaced).unwrap();
        let expected = undo.replaced.clone();
        let manifest = json!({ "version": 1, "env": variables }).to_string();
        let text = RecipeText { manifest: manifest.clone(), withheld: Vec::new() };
        edit.labels.push((RECIPE, Some(recipe::label(&text, undo, &tree).unwrap())));
        let of_base: Vec<Value> =
            config.diff_ids().unwrap().iter().map(|id| json!({ "digest": id.as_str(), "size": 1 })).collect();
        let document = json!({ "config": { "digest": "", "size": 1 }, "layers": of_base }).to_string();
        let baked = config.edit(&edit).unwrap();
        let document = with_layers(document.as_bytes(), &baked, &layers, &[]).unwrap();
        let config = Config::parse(baked.expose().to_vec()).unwrap();
        let Ok(read) = recipe::take_off(Base { digest: None, index: None, manifest: document, config }) else {
            return Err(TestCaseError::fail("it cannot be taken off"));
        };
        prop_assert_eq!(read.manifest, manifest);
        prop_assert_eq!(read.base.tree, tree);
        prop_assert_eq!(read.base.replaced, expected);
        let document: Value = serde_json::from_slice(&read.base.base.manifest).unwrap();
        prop_assert_eq!(&document["layers"], &json!(of_base));
    }

    #[test]
    fn a_layer_holds_the_files_that_were_written(
        files in prop::collection::btree_map("(/[a-zA-Z0-9 ._é-]{1,40}){1,4}", (prop::collection::vec(any::<u8>(), 0..2000), any::<u32>(), 0..0o10000_u32), 1..5),
        time in any::<u64>(),
    ) {
        // a manifest has no such paths either
        prop_assume!(files.keys().all(|path| !path.split('/').any(|part| part == "." || part == "..")));
        let contents: Vec<(String, Ownership, SecretBytes)> = files
            .iter()
            .map(|(path, (content, id, mode))| (path.clone(), Ownership { uid: *id, gid: id.rotate_left(8), mode: *mode }, SecretBytes::new(content.clone())))
            .collect();
        let new: Vec<NewFile<'_>> = contents.iter().map(|(path, owned, content)| NewFile { path, owned: *owned, content }).collect();
        let root = Ownership { uid: 0, gid: 0, mode: 0o755 };
        let layer = layer::write(&[Directory { path: "/top".to_owned(), owned: root, modified: time }], &new, "secretbake").unwrap();
        let mut tar = Vec::new();
        GzDecoder::new(layer.gzip.expose()).read_to_end(&mut tar).unwrap();
        prop_assert_eq!(secretbake::image::digest::Digest::of(&tar), layer.diff_id);
        let mut archive = tar::Archive::new(&tar[..]);
        let mut entries = archive.entries().unwrap();
        prop_assert!(entries.next().unwrap().unwrap().header().entry_type().is_dir());
        for (path, owned, content) in &contents {
            let mut entry = entries.next().unwrap().unwrap();
            let mut read = Vec::new();
            entry.read_to_end(&mut read).unwrap();
            let header = entry.header();
            let found = Ownership::from_header(header.uid().unwrap(), header.gid().unwrap(), header.mode().unwrap());
            prop_assert_eq!(format!("/{}", entry.path().unwrap().display()), path.as_str());
            prop_assert_eq!((&found, &read[..], header.mtime().unwrap()), (owned, content.expose(), 0));
        }
        prop_assert!(entries.next().is_none());
    }

    #[test]
    fn the_name_of_an_image_is_shown_as_what_it_is(
        host in "([a-z0-9]{1,5}(\\.[a-z]{1,4}){0,2}(:[1-9][0-9]{1,3})?/)?",
        path in "[a-z0-9]{1,6}([._-][a-z0-9]{1,4}){0,2}(/[a-z0-9]{1,6}){0,2}",
        tag in "(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,9})?",
        digest in "(@sha256:[0-9a-f]{64})?",
        transport in prop::sample::select(vec!["", "docker://", "oci:", "oci-archive:", "docker-archive:"]),
    ) {
        let written = format!("{transport}{host}{path}{tag}{digest}");
        let Ok(name) = ImageName::parse(&written) else { return Ok(()) };
        let shown = name.to_string();
        prop_assert_eq!(ImageName::parse(&shown), Ok(name), "{} is shown as {}", written, shown);
    }

    #[test]
    fn a_provenance_is_read_as_it_was_written(
        origins in prop::collection::btree_map("[A-Z_]{1,8}", value_origin(), 0..4),
        files in prop::collection::btree_map("/[a-z/]{1,8}", value_origin(), 0..3),
        whole in prop::collection::vec(whole_secret(), 0..2),
        base in prop::option::of("sha256:[0-9a-f]{64}"),
    ) {
        let inject = "launcher".to_owned();
        let provenance = Provenance { version: 1, base, inject, seal: None, variables: origins, files, env_from: whole };
        let label = serde_json::to_string(&provenance).unwrap();
        prop_assert_eq!(Provenance::parse(&label), Ok(provenance));
    }
}

/// What a bake may see at a path.
fn entry() -> impl Strategy<Value = Entry> {
    prop_oneof![
        Just(Entry::Absent),
        Just(Entry::Other),
        (any::<u32>(), any::<u32>(), 0..0o10000_u32, any::<u64>()).prop_map(|(uid, gid, mode, modified)| {
            Entry::Directory { owned: Ownership { uid, gid, mode }, modified }
        }),
        "[ -~é]{0,9}".prop_map(|target| Entry::Symlink { target }),
        "([a-z]{1,5}:x:[0-9]{1,4}:[0-9]{1,4}\n){0,2}".prop_map(|lines| Entry::File { content: lines.into_bytes() }),
    ]
}

fn origin() -> impl Strategy<Value = Origin> {
    let more = (prop::option::of("[ -~é]{1,8}"), prop::option::of("[a-f0-9-]{1,12}"), prop::option::of("[A-Z]{1,9}"));
    ("[a-z-]{1,6}", "[ -~]{1,20}", more, any::<bool>(), any::<bool>()).prop_map(
        |(credential, secret, (key, version_id, version_stage), pinned, absent)| {
            let written = json!({
                "credential": credential, "secret": secret, "key": key, "version_id": version_id,
                "version_stage": version_stage, "pinned": pinned, "absent": absent,
            });
            serde_json::from_value(written).unwrap()
        },
    )
}

fn value_origin() -> impl Strategy<Value = ValueOrigin> {
    let parts = prop::collection::btree_map("[a-z]{1,4}", origin(), 1..3);
    prop_oneof![
        origin().prop_map(ValueOrigin::One),
        (prop::option::of("[ -~]{0,10}"), parts)
            .prop_map(|(template, parts)| ValueOrigin::Template(TemplateOrigin { template, parts })),
    ]
}

fn whole_secret() -> impl Strategy<Value = WholeSecret> {
    let names = || prop::collection::vec("[A-Z]{1,4}", 0..3);
    let rename = prop::collection::btree_map("[a-z]{1,3}", "[A-Z]{1,3}", 0..2);
    (origin(), "[A-Z_]{0,4}", prop::option::of(names()), rename, names(), prop::option::of(names())).prop_map(
        |(origin, prefix, keys, rename, names, below)| {
            let case = "keep".to_owned();
            WholeSecret { origin, prefix, case, keys, rename, names, below }
        },
    )
}
