//! Documents and names.

use secretbake::diagnostic::Diagnostic;
use secretbake::image::Base;
use secretbake::image::access::{Id, Owner};
use secretbake::image::config::{Config, ConfigEdit};
use secretbake::image::name::ImageName;
use secretbake::image::provenance::{self, Provenance};
use secretbake::image::recipe;
use secretbake::image::seal::{self, Recipient};
use secretbake::image::tree::{self, Entry, GROUP, PASSWD, Tree};
use secretbake::image::undo::RECIPE;
use secretbake::manifest::reference::{SecretId, Selector};
use secretbake::ops::import::{ImportFormat, import};
use secretbake::secret::SecretBytes;
use secretbake::{manifest, org, secrets};
use serde_json::json;

/// Takes any input.
type Target = fn(&[u8]);

/// The targets of this file, by name.
pub const TARGETS: &[(&str, Target)] = &[
    ("manifest", manifest),
    ("org", org),
    ("reference", reference),
    ("image-name", image_name),
    ("config", config),
    ("provenance", provenance),
    ("rebake-label", rebake_label),
    ("passwd", passwd),
    ("recipient", recipient),
    ("select", select),
    ("dotenv", dotenv),
    ("compose", compose),
    ("ecs", ecs),
    ("k8s", k8s),
];

/// What is printed has no control character but its own line ends.
pub fn printable(diagnostics: &[Diagnostic]) {
    for diagnostic in diagnostics {
        let text = diagnostic.to_string();
        let foreign = text.chars().find(|c| c.is_control() && *c != '\n');
        assert_eq!(foreign, None, "in {text:?}");
    }
}

/// What is refused has a reason, and the reason can be printed.
fn has_reason(diagnostics: &[Diagnostic]) {
    printable(diagnostics);
    assert!(!diagnostics.is_empty(), "refused without a reason");
}

pub fn manifest(input: &[u8]) {
    let (manifest, diagnostics) = manifest::read("deploy.yaml", input);
    printable(&diagnostics);
    assert!(manifest.is_some() || !diagnostics.is_empty(), "refused without a reason");
    for (place, secret) in manifest.iter().flat_map(|manifest| manifest.secrets()) {
        assert!(!place.is_empty());
        let _ = secret;
    }
}

pub fn org(input: &[u8]) {
    match org::read("org.yaml", input) {
        Ok(org) => {
            let _ = org.choose(None, None);
            let _ = org.choose(Some("x"), None);
        }
        Err(diagnostics) => has_reason(&diagnostics),
    }
}

pub fn reference(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(id) = SecretId::new(text) {
        assert_eq!(id.as_str(), text);
        let _ = (id.region(), id.name(), id.is_parameter_arn(), id.is_path());
    }
}

pub fn image_name(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Ok(name) = ImageName::parse(text) else { return };
    let shown = name.to_string();
    assert_eq!(ImageName::parse(&shown).as_ref(), Ok(&name), "{text:?} is shown as {shown:?}");
    let _ = (name.place(), name.replaces(), name.is_file());
}

pub fn config(input: &[u8]) {
    let Ok(config) = Config::parse(input.to_vec()) else { return };
    let _ = (config.platform(), config.user(), config.diff_ids(), config.volumes(), config.created());
    let _ = (config.is_baked(), config.provenance());
    let Ok(before) = config.env_entries() else { return };
    let edit = ConfigEdit {
        launch: true,
        opens_files: true,
        set: vec![("SET", "value")],
        remove: vec!["REMOVED"],
        labels: vec![("dev.secretbake.provenance", Some("{}".to_owned()))],
        layers: &[],
        created: None,
    };
    let Ok(edited) = config.edit(&edit) else { return };
    let edited = Config::parse(edited.expose().to_vec()).expect("an edited config is one");
    let after = edited.env_entries().expect("an edited config has its variables");
    assert!(after.iter().any(|entry| **entry == "SET=value"));
    assert!(!after.iter().any(|entry| entry.starts_with("REMOVED=")));
    for entry in before.iter().filter(|entry| !entry.starts_with("SET=") && !entry.starts_with("REMOVED=")) {
        assert!(after.contains(entry), "{entry:?} is lost");
    }
    assert_eq!(edited.label("dev.secretbake.provenance").ok().flatten().as_deref(), Some("{}"));
}

pub fn provenance(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Ok(provenance) = Provenance::parse(text) else { return };
    let written = serde_json::to_string(&provenance).expect("a provenance is JSON");
    assert_eq!(Provenance::parse(&written).as_ref(), Ok(&provenance));
}

/// The label of a baked image with three layers: without the bake, the image has no more than before, and its manifest can be read.
pub fn rebake_label(input: &[u8]) {
    let Ok(label) = std::str::from_utf8(input) else { return };
    let digests: Vec<String> = (0..3).map(|number| format!("sha256:{number:064}")).collect();
    let descriptors: Vec<_> = digests.iter().map(|digest| json!({ "digest": digest, "size": 1 })).collect();
    let labels =
        json!({ RECIPE: label, provenance::LABEL: r#"{"version":1,"inject":"launcher","variables":{},"files":{}}"# });
    let config = json!({
        "os": "linux",
        "architecture": "amd64",
        "created": "2026-11-26T00:00:00Z",
        "config": {
            "Entrypoint": ["/.secretbake/launch", "a"],
            "Env": ["A=1", "B=2"],
            "Labels": labels,
            "Healthcheck": { "Test": ["CMD", "/.secretbake/launch", "b"] },
        },
        "rootfs": { "type": "layers", "diff_ids": digests },
        "history": [{ "created_by": "a" }, { "created_by": "b" }, { "created_by": "secretbake secrets" }],
    });
    let config = Config::parse(config.to_string().into_bytes()).expect("a config");
    let manifest = json!({ "config": descriptors[0], "layers": descriptors }).to_string().into_bytes();
    let Ok(taken_off) = recipe::take_off(Base { digest: None, index: None, manifest, config }) else { return };
    let base = &taken_off.base.base;
    let manifest: serde_json::Value = serde_json::from_slice(&base.manifest).expect("a manifest is JSON");
    assert_eq!(manifest["layers"].as_array().map(Vec::len), base.config.diff_ids().ok().map(|ids| ids.len()));
    assert_eq!(base.config.is_baked(), Ok(false));
    assert_eq!(base.config.label(RECIPE), Ok(None));
    printable(&manifest::read("label", taken_off.manifest.as_bytes()).1);
}

pub fn passwd(input: &[u8]) {
    let file = |content: &[u8]| Entry::File { content: content.to_vec() };
    let directory = ("/etc".to_owned(), Entry::Absent);
    let files = [(PASSWD, file(input)), (GROUP, file(input))].map(|(path, entry)| (path.to_owned(), entry));
    let tree: Tree = files.into_iter().chain([directory]).collect();
    for name in ["app", "", "root"] {
        let owner = Owner { user: Id::Name(name.to_owned()), group: Some(Id::Name(name.to_owned())) };
        let _ = tree::look_up(&tree, &owner);
    }
}

/// What is accepted can be sealed for.
pub fn recipient(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(recipient) = Recipient::parse(text) {
        assert_eq!(recipient.as_str(), text);
        let sealed = seal::seal(&SecretBytes::new(b"value".to_vec()), &[recipient]).expect("it is a recipient");
        assert!(sealed.expose().starts_with(seal::MAGIC));
    }
}

/// The first line is a key or a pointer, the rest the secret.
pub fn select(input: &[u8]) {
    let at = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
    let (key, secret) = (String::from_utf8_lossy(&input[..at]).into_owned(), input.get(at + 1..).unwrap_or_default());
    let selector = if key.starts_with('/') { Selector::Pointer(key) } else { Selector::Key(key) };
    let secret = SecretBytes::new(secret.to_vec());
    if let Ok(selection) = secrets::select::select(&secret, &selector) {
        // not `Value`, which refuses numbers that no `f64` can hold
        assert!(serde_json::from_slice::<&serde_json::value::RawValue>(secret.expose()).is_ok());
        let _ = selection.bytes.len();
    }
    let _ = secrets::select::members(&secret, &selector);
}

fn imported(format: ImportFormat, input: &[u8]) {
    match import(format, "file", input, None) {
        Ok(imported) => {
            printable(&imported.notes);
            let (_, diagnostics) = manifest::read("deploy.yaml", imported.manifest.as_bytes());
            printable(&diagnostics);
            let broken = diagnostics.iter().find(|diagnostic| diagnostic.code == "yaml");
            assert!(broken.is_none(), "{broken:?} in {}", imported.manifest);
        }
        Err(diagnostics) => has_reason(&diagnostics),
    }
}

pub fn dotenv(input: &[u8]) {
    imported(ImportFormat::Dotenv, input);
}

pub fn compose(input: &[u8]) {
    imported(ImportFormat::Compose, input);
}

pub fn ecs(input: &[u8]) {
    imported(ImportFormat::Ecs, input);
}

pub fn k8s(input: &[u8]) {
    imported(ImportFormat::K8s, input);
}
