//! Owns what a bake changes in a base's config and manifest, and how that is taken off again.
//!
//! It holds nothing of a secret: counts, names, and what the base had where the launcher is now.

use std::collections::BTreeSet;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::ImageError;
use super::config::{Config, ConfigEdit, LAUNCH, malformed};
use super::digest::Digest;
use super::json::RawObject;
use super::provenance;

/// The label with what a rebake needs (`recipe`).
pub const RECIPE: &str = "dev.secretbake.rebake";

/// What must be known of a base to take a bake off it again.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Undo {
    /// How many layers the base has.
    pub layers: usize,
    /// How many layers the bake added.
    pub new_layers: usize,
    /// How many entries the base's history has; `None` if it has none at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    history: Option<usize>,
    /// How many entries of Env are not added by the bake.
    env: usize,
    /// Whether the base's Env is `null`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    env_is_null: bool,
    /// The variables of the base that the bake set or removed. Their values in the base are not known any more.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub replaced: BTreeSet<String>,
    /// The fields of the config and the labels that the base lacks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    added: Vec<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    launched: bool,
    /// The base's ENTRYPOINT, if it is not what is left without the launcher.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    entrypoint: Option<Value>,
    /// The base's HEALTHCHECK command, if the launcher is in front of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    healthcheck: Option<Value>,
    /// The base's `created`, if the bake replaced it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    created: Option<Value>,
}

/// Reads a value of the base that may be `null`, which is not an absent one.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// Why a bake cannot be taken off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UndoError {
    /// Something was built on top of the baked image.
    BuiltOnTop,
    /// The config is not what the bake wrote.
    Malformed,
}

impl From<ImageError> for UndoError {
    fn from(_: ImageError) -> Self {
        UndoError::Malformed
    }
}

impl From<serde_json::Error> for UndoError {
    fn from(_: serde_json::Error) -> Self {
        UndoError::Malformed
    }
}

const ROOT: [&str; 3] = ["config", "created", "history"];
const CONTAINER: [&str; 3] = ["Entrypoint", "Env", "Labels"];

impl Config {
    /// Returns what takes an edit of this config off again. `replaced` are variables that an earlier bake, which was taken off, had
    /// replaced.
    pub fn undo(&self, edit: &ConfigEdit<'_>, replaced: &BTreeSet<String>) -> Result<Undo, ImageError> {
        let labels = self.container.inner("Labels").map_err(malformed)?;
        let of_root = ROOT.into_iter().filter(|field| self.root.get(field).is_none());
        let of_container = CONTAINER.into_iter().filter(|field| self.container.get(field).is_none());
        let is_new = |key: &str| key != provenance::LABEL && labels.keys().all(|other| other != key);
        let set = edit.labels.iter().filter(|(_, text)| text.is_some()).map(|(key, _)| *key);
        let of_labels = set.filter(|key| is_new(key));
        let history = self.root.read::<Option<Vec<&RawValue>>>("history").map_err(malformed)?.flatten();
        let old = self.env_entries()?;
        let names = |entry: &str| entry.split('=').next().unwrap_or_default().to_owned();
        let touched: BTreeSet<&str> =
            edit.set.iter().map(|(name, _)| *name).chain(edit.remove.iter().copied()).collect();
        let lost = old.iter().map(|entry| names(entry)).filter(|name| touched.contains(name.as_str()));
        let value = |raw: Option<&RawValue>| raw.and_then(|raw| serde_json::from_str::<Value>(raw.get()).ok());
        let words = self.words("Entrypoint")?;
        let entrypoint = value(self.container.get("Entrypoint"));
        let healthcheck = self.container.inner("Healthcheck").map_err(malformed)?;
        let test = value(healthcheck.get("Test"));
        let is_command = |test: &Value| matches!(test[0].as_str(), Some("CMD" | "CMD-SHELL"));
        Ok(Undo {
            layers: self.diff_ids()?.len(),
            new_layers: edit.layers.len(),
            history: history.map(|entries| entries.len()),
            env: Config::merged_env(&old, edit).1,
            env_is_null: self.container.get("Env").is_some_and(|env| env.get() == "null"),
            replaced: lost.chain(replaced.iter().cloned()).collect(),
            added: of_root.chain(of_container).chain(of_labels).map(str::to_owned).collect(),
            launched: edit.launch,
            entrypoint: entrypoint.filter(|raw| edit.launch && *raw != serde_json::json!(words)),
            healthcheck: test.filter(|test| edit.launch && is_command(test)),
            created: value(self.root.get("created")).filter(|_| edit.created.is_some()),
        })
    }

    /// Takes a bake off: an edit of what this returns gives the same bytes as one of the base.
    pub fn take_off(mut self, undo: &Undo) -> Result<Config, UndoError> {
        let added = |field: &str| undo.added.iter().any(|other| other == field);
        self.take_layers_off(undo, added("history"))?;
        if undo.launched {
            self.take_launcher_off(undo, added("Entrypoint"))?;
        }
        self.take_env_off(undo, added("Env"))?;
        let mut labels = self.container.inner("Labels")?;
        let ours = [provenance::LABEL, RECIPE];
        ours.into_iter().chain(undo.added.iter().map(String::as_str)).for_each(|key| labels.remove_key(key));
        match added("Labels") && labels.keys().next().is_none() {
            true => self.container.remove("Labels"),
            false => self.container.set("Labels", &labels),
        }
        match added("config") && self.container.keys().next().is_none() {
            true => self.root.remove("config"),
            false => self.root.set("config", &self.container),
        }
        match &undo.created {
            Some(created) => self.root.set("created", created),
            None if added("created") => self.root.remove("created"),
            None => {}
        }
        Ok(Config::parse(self.root.to_bytes())?)
    }

    /// Tells whether something was built on top of a bake. `false` if the image does not tell.
    pub fn is_built_on_top(&self) -> bool {
        #[derive(Deserialize)]
        struct Recipe {
            undo: Undo,
        }
        let label = self.label(RECIPE).ok().flatten();
        let recipe = label.and_then(|label| serde_json::from_str::<Recipe>(&label).ok());
        recipe.is_some_and(|recipe| self.clone().take_off(&recipe.undo).err() == Some(UndoError::BuiltOnTop))
    }

    fn take_layers_off(&mut self, undo: &Undo, without_history: bool) -> Result<(), UndoError> {
        let diff_ids = self.diff_ids()?;
        let all = undo.layers.checked_add(undo.new_layers).ok_or(UndoError::Malformed)?;
        // fewer, if the build on top made one layer of several
        if diff_ids.len() != all {
            return Err(UndoError::BuiltOnTop);
        }
        // without a layer, the bake left it as it was written
        if undo.new_layers > 0 {
            let mut rootfs = self.root.inner("rootfs")?;
            let kept: Vec<&str> = diff_ids[..undo.layers].iter().map(Digest::as_str).collect();
            rootfs.set("diff_ids", &kept);
            self.root.set("rootfs", &rootfs);
        }
        let entries = self.root.read::<Option<Vec<Box<RawValue>>>>("history")?.flatten();
        // an engine that cannot match its history with the layers shows none
        let Some(entries) = entries else { return Ok(()) };
        let before = undo.history.unwrap_or_default();
        match before.checked_add(undo.new_layers.max(1)).ok_or(UndoError::Malformed)? {
            wrote if entries.len() > wrote => return Err(UndoError::BuiltOnTop),
            wrote if entries.len() < wrote => return Err(UndoError::Malformed),
            _ => {}
        }
        match undo.history {
            Some(before) => self.root.set("history", &entries[..before]),
            None if without_history => self.root.remove("history"),
            None => self.root.set("history", &Value::Null),
        }
        Ok(())
    }

    fn take_launcher_off(&mut self, undo: &Undo, without_entrypoint: bool) -> Result<(), UndoError> {
        let words = self.words("Entrypoint")?;
        let Some((LAUNCH, words)) = words.split_first().map(|(first, words)| (first.as_str(), words)) else {
            return Err(UndoError::BuiltOnTop);
        };
        match &undo.entrypoint {
            Some(entrypoint) => self.container.set("Entrypoint", entrypoint),
            None if without_entrypoint => self.container.remove("Entrypoint"),
            None => self.container.set("Entrypoint", words),
        }
        if let Some(test) = &undo.healthcheck {
            let mut healthcheck = self.container.inner("Healthcheck")?;
            healthcheck.set("Test", test);
            self.container.set("Healthcheck", &healthcheck);
        }
        Ok(())
    }

    fn take_env_off(&mut self, undo: &Undo, without_env: bool) -> Result<(), UndoError> {
        let env = self.env_entries()?;
        let kept = env.get(..undo.env).ok_or(UndoError::Malformed)?;
        if kept.len() == env.len() {
            return Ok(());
        }
        match kept.is_empty() {
            true if without_env => self.container.remove("Env"),
            true if undo.env_is_null => self.container.set("Env", &Value::Null),
            _ => {
                let kept: Vec<&str> = kept.iter().map(|entry| entry.as_str()).collect();
                self.container.set("Env", &kept);
            }
        }
        Ok(())
    }
}

/// Takes the layers of a bake off a manifest; the config's descriptor is the next bake's to replace.
pub fn take_off_manifest(manifest: &[u8], undo: &Undo) -> Result<Vec<u8>, UndoError> {
    let mut object = RawObject::parse(manifest)?;
    let layers = object.read::<Vec<Box<RawValue>>>("layers")?.unwrap_or_default();
    if Some(layers.len()) != undo.layers.checked_add(undo.new_layers) {
        return Err(UndoError::Malformed);
    }
    object.set("layers", &layers[..undo.layers]);
    Ok(object.to_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::layer::Layer;
    use crate::secret::SecretBytes;

    fn layers(content: &str) -> [Layer; 1] {
        [Layer::new(&SecretBytes::from(content.to_owned()), "secretbake secrets")]
    }

    /// Bakes and returns the config's text, and what an image's label keeps of the undo. A bake with the launcher sets `created` too.
    fn baked(config: &Config, value: &str, launch: bool, replaced: &BTreeSet<String>) -> (String, Undo) {
        baked_with(config, value, vec![("A", "1"), ("PLAIN", "p")], launch, replaced)
    }

    fn baked_with(
        config: &Config,
        value: &str,
        set: Vec<(&str, &str)>,
        launch: bool,
        replaced: &BTreeSet<String>,
    ) -> (String, Undo) {
        let layers = layers(value);
        let mut edit = ConfigEdit {
            launch,
            opens_files: false,
            set,
            remove: vec!["SECRET"],
            labels: vec![(provenance::LABEL, Some(value.to_owned())), ("base", Some("b".to_owned())), ("gone", None)],
            layers: &layers,
            created: launch.then_some("2030-01-01T00:00:00Z"),
        };
        let undo = serde_json::to_string(&config.undo(&edit, replaced).unwrap()).unwrap();
        edit.labels.insert(1, (RECIPE, Some(undo.clone())));
        let undo = serde_json::from_str(&undo).unwrap();
        let text = config.clone().edit(&edit).unwrap();
        (String::from_utf8(text.expose().to_vec()).unwrap(), undo)
    }

    /// Sorts the keys of an object and of those in it, as an engine does that stores no configs.
    fn sorted(text: &str) -> Config {
        let value: Value = serde_json::from_str(text).unwrap();
        Config::parse(value.to_string().into_bytes()).unwrap()
    }

    const BASES: [&str; 8] = [
        r#"{"architecture":"amd64","rootfs":{"type":"layers","diff_ids":[]}}"#,
        r#"{"architecture":"amd64","config":{},"rootfs":{"type":"layers","diff_ids":[]},"history":[]}"#,
        r#"{"architecture":"amd64","config":{"Env":["SECRET=old","B=2"],"Entrypoint":["/x","y"],"Labels":{"z":"1","base":"of it","gone":"x"}},"created":"2024-01-01T00:00:00Z","history":[{"created_by":"a"}],"rootfs":{"type":"layers","diff_ids":["sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"]}}"#,
        r#"{"architecture":"amd64","config":{"Env":["A=old"],"Entrypoint":null,"Healthcheck":{"Test":["CMD-SHELL","a b"],"Retries":3},"Labels":null},"created":null,"history":null,"rootfs":{"type":"layers","diff_ids":[]}}"#,
        r#"{"architecture":"amd64","config":{"Cmd":null,"Entrypoint":null,"Env":null,"Healthcheck":null,"Labels":null,"OnBuild":null,"Shell":null,"User":null,"Volumes":null},"created":null,"history":null,"rootfs":{"type":"layers","diff_ids":[]}}"#,
        r#"{"architecture":"amd64","config":null,"rootfs":{"type":"layers","diff_ids":[]}}"#,
        r#"{"architecture":"amd64","config":{"Entrypoint":"one","Healthcheck":{"Test":["CMD","a"]},"Shell":["s"]},"rootfs":{"type":"layers","diff_ids":["sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"]}}"#,
        r#"{"architecture":"amd64","config":{"Env":[],"Entrypoint":[],"Healthcheck":{"Test":["NONE"]}},"rootfs":{"type":"layers","diff_ids":[]}}"#,
    ];

    #[test]
    fn a_bake_of_what_is_left_is_the_same_as_one_of_the_base() {
        for base in BASES {
            let config = Config::parse(base.into()).unwrap();
            for launch in [true, false] {
                let (old, undo) = baked(&config, "old", launch, &BTreeSet::new());
                let left = Config::parse(old.into_bytes()).unwrap().take_off(&undo).unwrap();
                let has_label = |config: &Config| config.label("base").unwrap().is_some();
                assert_eq!(has_label(&left), has_label(&config), "{base}");
                for again in [true, false] {
                    let (new, new_undo) = baked(&left, "new", again, &undo.replaced);
                    let (expected, expected_undo) = baked(&config, "new", again, &BTreeSet::new());
                    assert_eq!((new, new_undo), (expected, expected_undo), "{base}");
                }
                if undo.replaced.is_empty() {
                    let (new, _) = baked_with(&left, "new", Vec::new(), false, &undo.replaced);
                    assert_eq!(new, baked_with(&config, "new", Vec::new(), false, &BTreeSet::new()).0, "{base}");
                }
            }
        }
    }

    #[test]
    fn the_same_holds_where_an_engine_sorts_the_config() {
        for base in BASES {
            // such an engine shows no empty value
            if base.contains("null") || base.contains(r#""Env":[]"#) {
                continue;
            }
            let config = sorted(base);
            let (old, undo) = baked(&config, "old", true, &BTreeSet::new());
            let left = sorted(&old).take_off(&undo).unwrap();
            let (new, _) = baked(&left, "new", true, &undo.replaced);
            assert_eq!(new, baked(&config, "new", true, &BTreeSet::new()).0, "{base}");
        }
    }

    #[test]
    fn only_what_a_bake_replaced_is_noted() {
        let noted = |base: &str, launch| {
            let config = Config::parse(base.into()).unwrap();
            serde_json::to_string(&baked(&config, "old", launch, &BTreeSet::new()).1).unwrap()
        };
        insta::assert_snapshot!(noted(BASES[6], true), @r#"{"layers":1,"new_layers":1,"env":0,"added":["created","history","Env","Labels","base"],"launched":true,"entrypoint":"one","healthcheck":["CMD","a"]}"#);
        insta::assert_snapshot!(noted(BASES[6], false), @r#"{"layers":1,"new_layers":1,"env":0,"added":["created","history","Env","Labels","base"]}"#);
        insta::assert_snapshot!(noted(BASES[7], true), @r#"{"layers":0,"new_layers":1,"env":0,"added":["created","history","Labels","base"],"launched":true}"#);
    }

    #[test]
    fn a_manifest_loses_the_layers_of_the_bake_only() {
        let undo = Undo { layers: 1, new_layers: 1, ..Undo::default() };
        let baked =
            br#"{"schemaVersion":2,"layers":[{"digest":"sha256:1"},{"digest":"sha256:2"}],"annotations":{"a":"b"}}"#;
        let left = take_off_manifest(baked, &undo).unwrap();
        let expected = r#"{"schemaVersion":2,"layers":[{"digest":"sha256:1"}],"annotations":{"a":"b"}}"#;
        assert_eq!(String::from_utf8(left.clone()).unwrap(), expected);
        assert_eq!(take_off_manifest(&left, &undo), Err(UndoError::Malformed));
    }

    #[test]
    fn what_was_built_on_top_is_seen() {
        let config = Config::parse(BASES[2].into()).unwrap();
        let (text, undo) = baked(&config, "old", true, &BTreeSet::new());
        let mut step: Value = serde_json::from_str(&text).unwrap();
        step["history"].as_array_mut().unwrap().push(serde_json::json!({ "created_by": "LABEL", "empty_layer": true }));
        let mut layer: Value = serde_json::from_str(&text).unwrap();
        let id = layer["rootfs"]["diff_ids"][0].clone();
        layer["rootfs"]["diff_ids"].as_array_mut().unwrap().push(id);
        let mut entrypoint: Value = serde_json::from_str(&text).unwrap();
        entrypoint["config"]["Entrypoint"] = serde_json::json!(["/other"]);
        let mut squashed: Value = serde_json::from_str(&text).unwrap();
        squashed["rootfs"]["diff_ids"].as_array_mut().unwrap().pop();
        for image in [step, layer, entrypoint, squashed] {
            let image = Config::parse(image.to_string().into_bytes()).unwrap();
            assert!(image.take_off(&undo).err() == Some(UndoError::BuiltOnTop));
        }
        let mut shorter: Value = serde_json::from_str(&text).unwrap();
        shorter["history"].as_array_mut().unwrap().pop();
        let shorter = Config::parse(shorter.to_string().into_bytes()).unwrap();
        assert_eq!(shorter.take_off(&undo).err(), Some(UndoError::Malformed));
    }

    #[test]
    fn an_image_tells_whether_something_was_built_on_top_of_its_bake() {
        let config = Config::parse(BASES[2].into()).unwrap();
        let mut edit = ConfigEdit { launch: true, layers: &layers("old"), ..ConfigEdit::default() };
        let recipe = serde_json::json!({ "version": 1, "undo": config.undo(&edit, &BTreeSet::new()).unwrap() });
        edit.labels = vec![(RECIPE, Some(recipe.to_string()))];
        let text = config.edit(&edit).unwrap();
        let mut image: Value = serde_json::from_slice(text.expose()).unwrap();
        let is_built_on_top = |image: &Value| Config::parse(image.to_string().into_bytes()).unwrap().is_built_on_top();
        assert!(!is_built_on_top(&image));
        image["history"].as_array_mut().unwrap().push(serde_json::json!({ "created_by": "RUN" }));
        assert!(is_built_on_top(&image));
        image["config"]["Labels"] = serde_json::json!({ RECIPE: "{" });
        assert!(!is_built_on_top(&image));
    }
}
