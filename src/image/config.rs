//! Owns the image config: what a bake reads and edits. Everything else keeps its order and bytes.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::ImageError;
use super::digest::Digest;
use super::json::RawObject;
use super::layer::Layer;
use super::platform::Platform;
use super::provenance::{LABEL, Provenance, ProvenanceError};
use crate::secret::{SecretBuffer, SecretBytes};

/// Where the launcher is in the image.
pub const LAUNCH: &str = "/.secretbake/launch";

/// The history's entry of a bake without a layer.
pub const VARIABLES_STEP: &str = "secretbake variables";

/// The launcher's flag to set the variables and write no file.
const ENV_ONLY: &str = "--env-only";

/// A parsed config.
#[derive(Clone)]
pub struct Config {
    bytes: Vec<u8>,
    pub(super) root: RawObject,
    pub(super) container: RawObject,
}

/// The edits of a bake.
#[derive(Default)]
pub struct ConfigEdit<'a> {
    /// Whether to put the launcher in front of ENTRYPOINT and HEALTHCHECK.
    pub launch: bool,
    /// Whether the launcher writes files that it opens, which it must not do again for each health check.
    pub opens_files: bool,
    /// Variables to set in Env, in this order.
    pub set: Vec<(&'a str, &'a str)>,
    /// Variables to remove from Env.
    pub remove: Vec<&'a str>,
    /// Labels to set, in this order; one with `None` is removed.
    pub labels: Vec<(&'a str, Option<String>)>,
    /// The new layers, the lowest first.
    pub layers: &'a [Layer],
    /// Replaces `created`, RFC 3339.
    pub created: Option<&'a str>,
}

impl ConfigEdit<'_> {
    /// Tells whether a variable of the base is not kept as it is.
    pub fn sets_or_removes(&self, name: &str) -> bool {
        self.set.iter().any(|(set, _)| *set == name) || self.remove.contains(&name)
    }
}

#[derive(Serialize)]
struct History<'a> {
    created: &'a str,
    created_by: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    empty_layer: bool,
}

impl Config {
    /// Parses a config.
    pub fn parse(bytes: Vec<u8>) -> Result<Self, ImageError> {
        let root = RawObject::parse(&bytes).map_err(malformed)?;
        let container = root.inner("config").map_err(malformed)?;
        Ok(Config { bytes, root, container })
    }

    /// Returns the config's exact bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the image's platform.
    pub fn platform(&self) -> Result<Platform, ImageError> {
        let text = |key| self.root.read::<Option<String>>(key).map(Option::flatten).map_err(malformed);
        Ok(Platform {
            os: text("os")?.unwrap_or_else(|| "linux".to_owned()),
            architecture: text("architecture")?.ok_or(ImageError::Malformed("config"))?,
            variant: text("variant")?.filter(|variant| !variant.is_empty()),
        })
    }

    /// Returns the image's `User`; empty for root.
    pub fn user(&self) -> Result<String, ImageError> {
        Ok(self.container.read::<Option<String>>("User").map_err(malformed)?.flatten().unwrap_or_default())
    }

    /// Returns the diff IDs of the image's layers, the lowest first.
    pub fn diff_ids(&self) -> Result<Vec<Digest>, ImageError> {
        let rootfs = self.root.inner("rootfs").map_err(malformed)?;
        let ids = rootfs.read::<Option<Vec<String>>>("diff_ids").map_err(malformed)?.flatten().unwrap_or_default();
        ids.iter().map(|id| Digest::parse(id).ok_or(ImageError::Malformed("config"))).collect()
    }

    /// Returns a label's text.
    pub fn label(&self, key: &str) -> Result<Option<String>, ImageError> {
        let labels = self.container.inner("Labels").map_err(malformed)?;
        Ok(labels.read_key::<Option<String>>(key).map_err(malformed)?.flatten())
    }

    /// Tells whether secretbake made the image.
    pub fn is_baked(&self) -> Result<bool, ImageError> {
        Ok(self.label(LABEL)?.is_some())
    }

    /// Reads what was baked into the image.
    pub fn provenance(&self) -> Result<Provenance, ProvenanceError> {
        let label = self.label(LABEL).map_err(|_| ProvenanceError::Malformed)?;
        Provenance::parse(&label.ok_or(ProvenanceError::NotBaked)?)
    }

    /// Returns the paths of the image's volumes, without a trailing slash. A volume keeps the content of its first image.
    pub fn volumes(&self) -> Result<BTreeSet<String>, ImageError> {
        let volumes = self.container.inner("Volumes").map_err(malformed)?;
        Ok(volumes.keys().map(|path| format!("/{}", path.trim_matches('/'))).collect())
    }

    /// Returns the entries of Env, `NAME=VALUE`.
    pub fn env_entries(&self) -> Result<Vec<Zeroizing<String>>, ImageError> {
        let env = self.container.read::<Option<Vec<String>>>("Env").map_err(malformed)?.flatten().unwrap_or_default();
        Ok(env.into_iter().map(Zeroizing::new).collect())
    }

    /// Returns `created`.
    pub fn created(&self) -> Option<String> {
        self.root.read::<Option<String>>("created").ok().flatten().flatten()
    }

    /// Makes the edits and returns the new config's bytes.
    pub fn edit(mut self, edit: &ConfigEdit<'_>) -> Result<SecretBytes, ImageError> {
        if edit.launch {
            self.launch(edit.opens_files)?;
        }
        self.env(edit)?;
        let mut labels = self.container.inner("Labels").map_err(malformed)?;
        for (key, text) in &edit.labels {
            match text {
                Some(text) => labels.set_key(key, text),
                None => labels.remove_key(key),
            }
        }
        self.container.set("Labels", &labels);
        self.root.set("config", &self.container);
        if let Some(created) = edit.created {
            self.root.set("created", created);
        }
        self.layers(edit.layers)?;
        let mut buffer = SecretBuffer::default();
        serde_json::to_writer(&mut buffer, &self.root).map_err(malformed)?;
        Ok(buffer.finish())
    }

    fn launch(&mut self, opens_files: bool) -> Result<(), ImageError> {
        let mut entrypoint = vec![LAUNCH.to_owned()];
        entrypoint.extend(self.words("Entrypoint")?);
        self.container.set("Entrypoint", &entrypoint);

        let mut healthcheck = self.container.inner("Healthcheck").map_err(malformed)?;
        let test = healthcheck.read::<Option<Vec<String>>>("Test").map_err(malformed)?.flatten().unwrap_or_default();
        let flag = opens_files.then(|| ENV_ONLY.to_owned());
        let before = ["CMD".to_owned(), LAUNCH.to_owned()].into_iter().chain(flag);
        let launched: Vec<String> = match test.split_first() {
            Some((kind, command)) if kind == "CMD" => before.chain(command.iter().cloned()).collect(),
            Some((kind, command)) if kind == "CMD-SHELL" => {
                let mut shell = self.words("Shell")?;
                if shell.is_empty() {
                    shell = vec!["/bin/sh".to_owned(), "-c".to_owned()];
                }
                before.chain(shell).chain(command.iter().cloned()).collect()
            }
            // NONE, or inherited
            _ => return Ok(()),
        };
        healthcheck.set("Test", &launched);
        self.container.set("Healthcheck", &healthcheck);
        Ok(())
    }

    /// Reads a command. Old images may have it as one string; a single empty word means no command.
    pub(super) fn words(&self, key: &str) -> Result<Vec<String>, ImageError> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Words {
            Many(Vec<String>),
            One(String),
        }
        let words = match self.container.read::<Option<Words>>(key).map_err(malformed)?.flatten() {
            None => Vec::new(),
            Some(Words::Many(words)) => words,
            Some(Words::One(word)) => vec![word],
        };
        Ok(if words == [""] { Vec::new() } else { words })
    }

    fn env(&mut self, edit: &ConfigEdit<'_>) -> Result<(), ImageError> {
        let old = self.env_entries()?;
        let (env, _) = Config::merged_env(&old, edit);
        if !env.iter().eq(&old) {
            self.container.set("Env", &env.iter().map(|entry| entry.as_str()).collect::<Vec<_>>());
        }
        Ok(())
    }

    /// Returns the entries of Env after an edit, and how many of them come before those that it adds.
    pub(super) fn merged_env(old: &[Zeroizing<String>], edit: &ConfigEdit<'_>) -> (Vec<Zeroizing<String>>, usize) {
        // they may hold values
        let new: Vec<Zeroizing<String>> = edit.set.iter().map(|(name, value)| entry_of(name, value)).collect();
        let removed: BTreeSet<&str> = edit.remove.iter().copied().collect();
        let names = edit.set.iter().map(|(name, _)| *name);
        let mut env: Vec<Zeroizing<String>> = Vec::with_capacity(old.len() + new.len());
        let mut replacements: BTreeMap<&str, Option<Zeroizing<String>>> =
            names.clone().zip(new.into_iter().map(Some)).collect();
        for entry in old {
            let name = entry.split('=').next().unwrap_or_default();
            match replacements.get_mut(name) {
                // if the base has the name twice, runtimes differ in which one they use: keep one, in the first place
                Some(replacement) => env.extend(replacement.take()),
                None if removed.contains(name) => {}
                None => env.push(entry.clone()),
            }
        }
        let kept = env.len();
        env.extend(names.filter_map(|name| replacements.get_mut(name)?.take()));
        (env, kept)
    }

    fn layers(&mut self, layers: &[Layer]) -> Result<(), ImageError> {
        let old = self.diff_ids()?;
        if !layers.is_empty() {
            let mut rootfs = self.root.inner("rootfs").map_err(malformed)?;
            if rootfs.get("type").is_none() {
                rootfs.set("type", "layers");
            }
            let ids: Vec<&str> =
                old.iter().chain(layers.iter().map(|layer| &layer.diff_id)).map(Digest::as_str).collect();
            rootfs.set("diff_ids", &ids);
            self.root.set("rootfs", &rootfs);
        }
        let history = self.root.read::<Option<Vec<&RawValue>>>("history").map_err(malformed)?.flatten();
        // tools match history with layers: without the base's history, the new layers have none either
        if history.is_none() && !old.is_empty() {
            return Ok(());
        }
        // an entry without a time crashes some engines
        let created = self.created().unwrap_or_else(|| "1970-01-01T00:00:00Z".to_owned());
        let entry = |created_by: &str, empty_layer| {
            serde_json::value::to_raw_value(&History { created: &created, created_by, empty_layer }).map_err(malformed)
        };
        let new: Vec<Box<RawValue>> = match layers {
            [] => vec![entry(VARIABLES_STEP, true)?],
            layers => layers.iter().map(|layer| entry(layer.created_by, false)).collect::<Result<_, _>>()?,
        };
        let history: Vec<&RawValue> =
            history.unwrap_or_default().into_iter().chain(new.iter().map(|entry| &**entry)).collect();
        let history = serde_json::value::to_raw_value(&history).map_err(malformed)?;
        self.root.set("history", &history);
        Ok(())
    }
}

/// Returns `NAME=VALUE`; every copy is wiped.
fn entry_of(name: &str, value: &str) -> Zeroizing<String> {
    let mut entry = Zeroizing::new(String::with_capacity(name.len() + 1 + value.len()));
    for part in [name, "=", value] {
        entry.push_str(part);
    }
    entry
}

pub(super) fn malformed(_: serde_json::Error) -> ImageError {
    // serde's message may quote the config
    ImageError::Malformed("config")
}

/// Returns the outermost of [`Config::volumes`] that contains a path.
pub fn volume_of<'v>(volumes: &'v BTreeSet<String>, path: &str) -> Option<&'v String> {
    path.match_indices('/').find_map(|(at, _)| volumes.get(path.get(..at.max(1))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edited(config: &str, edit: &ConfigEdit<'_>) -> serde_json::Value {
        let edited = Config::parse(config.into()).unwrap().edit(edit).unwrap();
        serde_json::from_slice(edited.expose()).unwrap()
    }

    #[test]
    fn a_command_in_lower_case_is_kept_behind_the_launcher() {
        let base = r#"{"architecture":"amd64","Config":{"env":["OLD=1","A=2"],"entrypoint":["echo"],"cmd":["hi"],"user":"app"},
            "rootfs":{"Diff_IDs":[]},"History":[{"Created_By":"x"}]}"#;
        let labels = vec![("l", Some("1".to_owned())), ("m", None)];
        let edit =
            ConfigEdit { launch: true, set: vec![("NEW", "3")], remove: vec!["A"], labels, ..ConfigEdit::default() };
        let config = edited(base, &edit);
        let expected = serde_json::json!({
            "Env": ["OLD=1", "NEW=3"], "Entrypoint": [LAUNCH, "echo"], "cmd": ["hi"], "user": "app", "Labels": { "l": "1" },
        });
        assert_eq!(config["config"], expected);
        assert_eq!(config["history"].as_array().map(Vec::len), Some(2));
        assert_eq!(Config::parse(base.into()).unwrap().user(), Ok("app".to_owned()));
    }

    #[test]
    fn a_health_check_runs_behind_the_launcher() {
        let with = |healthcheck: &str, opens_files| {
            let base = format!(r#"{{"config":{{"Shell":["/bin/ash","-e"],"Healthcheck":{{"Test":{healthcheck}}}}}}}"#);
            let edit = ConfigEdit { launch: true, opens_files, ..ConfigEdit::default() };
            edited(&base, &edit)["config"]["Healthcheck"]["Test"].to_string()
        };
        assert_eq!(with(r#"["CMD","curl","-f"]"#, false), format!(r#"["CMD","{LAUNCH}","curl","-f"]"#));
        assert_eq!(with(r#"["CMD","curl","-f"]"#, true), format!(r#"["CMD","{LAUNCH}","{ENV_ONLY}","curl","-f"]"#));
        assert_eq!(with(r#"["CMD-SHELL","a b"]"#, false), format!(r#"["CMD","{LAUNCH}","/bin/ash","-e","a b"]"#));
        for inherited in [r#"["NONE"]"#, "[]", "null"] {
            assert_eq!(with(inherited, false), inherited);
        }
    }

    #[test]
    fn a_new_layer_has_history_if_the_layers_of_the_base_have() {
        let history = |base: &str| {
            let layers = [Layer::new(&SecretBytes::from("layer".to_owned()), "secretbake secrets")];
            edited(base, &ConfigEdit { layers: &layers, ..ConfigEdit::default() })["history"].clone()
        };
        let id = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
        let step = |created| serde_json::json!({ "created": created, "created_by": "secretbake secrets" });
        assert_eq!(history(&format!(r#"{{"rootfs":{{"diff_ids":["{id}"]}}}}"#)), serde_json::Value::Null);
        assert_eq!(history(r#"{"rootfs":{"diff_ids":[]}}"#), serde_json::json!([step("1970-01-01T00:00:00Z")]));
        let dated = r#"{"created":"2024-01-01T00:00:00Z","rootfs":{"diff_ids":[]}}"#;
        assert_eq!(history(dated), serde_json::json!([step("2024-01-01T00:00:00Z")]));
    }

    #[test]
    fn an_empty_variant_is_none_and_a_config_without_a_system_is_for_linux() {
        let platform = |config: &str| Config::parse(config.into()).unwrap().platform().map(|found| found.to_string());
        assert_eq!(platform(r#"{"architecture":"arm64","variant":""}"#).as_deref(), Ok("linux/arm64"));
        assert_eq!(platform(r#"{"architecture":"arm64","variant":"v8"}"#).as_deref(), Ok("linux/arm64/v8"));
        assert_eq!(platform(r#"{"os":"linux"}"#), Err(ImageError::Malformed("config")));
    }

    #[test]
    fn an_image_without_a_label_was_not_baked() {
        let read = |config: &str| Config::parse(config.into()).unwrap().provenance();
        assert_eq!(read("{}"), Err(ProvenanceError::NotBaked));
        assert_eq!(read(r#"{"config":{"Labels":"canary"}}"#), Err(ProvenanceError::Malformed));
    }

    #[test]
    fn a_variable_takes_its_first_place_in_the_base_and_new_ones_follow() {
        let base = r#"{"config":{"Env":["A=1","B=2","A=3","C=4"]}}"#;
        let edit =
            ConfigEdit { set: vec![("Z", "z"), ("A", "a=b"), ("Y", "")], remove: vec!["B"], ..ConfigEdit::default() };
        assert_eq!(edited(base, &edit)["config"]["Env"], serde_json::json!(["A=a=b", "C=4", "Z=z", "Y="]));
    }

    #[test]
    fn many_variables_and_volumes_take_no_time() {
        let names: Vec<String> = (0..20_000).map(|number| format!("NAME_{number}")).collect();
        let env: Vec<String> = names.iter().map(|name| format!("{name}=old")).collect();
        let base = serde_json::json!({ "config": { "Env": env } }).to_string();
        let volumes: BTreeSet<String> = names.iter().map(|name| format!("/volume/{name}")).collect();
        let started = std::time::Instant::now();
        let set = names.iter().map(|name| (name.as_str(), "new")).collect();
        let config = edited(&base, &ConfigEdit { set, ..ConfigEdit::default() });
        let inside = names.iter().filter(|name| volume_of(&volumes, &format!("/volume/{name}/file")).is_some());
        assert_eq!(inside.count(), 20_000);
        assert_eq!(config["config"]["Env"][19_999], "NAME_19999=new");
        assert!(started.elapsed() < std::time::Duration::from_secs(2), "{:?}", started.elapsed());
    }

    #[test]
    fn a_volume_holds_what_is_beneath_it() {
        let config = Config::parse(br#"{"config":{"volumes":{"/data/":{},"/data/more":{}}}}"#.to_vec()).unwrap();
        let volumes = config.volumes().unwrap();
        for (path, volume) in [("/data/more/x", Some("/data")), ("/data", None), ("/database/x", None)] {
            assert_eq!(volume_of(&volumes, path).map(String::as_str), volume, "{path}");
        }
        assert_eq!(volume_of(&BTreeSet::from(["/".to_owned()]), "/x").map(String::as_str), Some("/"));
    }
}
