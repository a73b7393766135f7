//! Owns the image config: what a bake reads of it, and the edits it makes; everything else keeps its order and bytes.

use std::collections::BTreeSet;

use std::collections::BTreeMap;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::ImageError;
use super::digest::Digest;
use super::json::RawObject;
use super::layer::Layer;
use super::platform::Platform;
use super::provenance::LABEL;
use crate::secret::{SecretBuffer, SecretBytes};

/// Where the launcher is in the image.
pub const LAUNCH: &str = "/.secretbake/launch";

/// A config that was read.
pub struct Config {
    root: RawObject,
    container: RawObject,
}

/// What a bake changes.
#[derive(Default)]
pub struct Edit<'a> {
    /// Puts the launcher in front of ENTRYPOINT and HEALTHCHECK.
    pub launch: bool,
    /// Variables that are set in Env, in this order.
    pub set: Vec<(&'a str, &'a str)>,
    /// Variables that are taken out of Env.
    pub remove: Vec<&'a str>,
    /// The provenance label's JSON.
    pub provenance: String,
    /// The new layers, the lowest first.
    pub layers: &'a [Layer],
    /// Replaces `created`, RFC 3339.
    pub created: Option<&'a str>,
}

#[derive(Serialize)]
struct History<'a> {
    created: &'a str,
    created_by: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    empty_layer: bool,
}

#[derive(Deserialize)]
struct RootFs {
    #[serde(default)]
    diff_ids: Option<Vec<String>>,
}

impl Config {
    /// Reads a config.
    ///
    /// # Errors
    /// What is not the JSON of a config.
    pub fn parse(bytes: &[u8]) -> Result<Self, ImageError> {
        let root = RawObject::parse(bytes).map_err(malformed)?;
        let container = root.inner("config").map_err(malformed)?;
        Ok(Config { root, container })
    }

    /// Returns the image's platform.
    ///
    /// # Errors
    /// A config that names none.
    pub fn platform(&self) -> Result<Platform, ImageError> {
        let text = |key| self.root.read::<Option<String>>(key).map(Option::flatten).map_err(malformed);
        Ok(Platform {
            os: text("os")?.unwrap_or_else(|| "linux".to_owned()),
            architecture: text("architecture")?.ok_or(ImageError::Malformed("config"))?,
            variant: text("variant")?.filter(|variant| !variant.is_empty()),
        })
    }

    /// Returns the image's `User`; empty for root.
    ///
    /// # Errors
    /// A `User` that is no string.
    pub fn user(&self) -> Result<String, ImageError> {
        Ok(self.container.read::<Option<String>>("User").map_err(malformed)?.flatten().unwrap_or_default())
    }

    /// Returns the diff IDs of the image's layers, the lowest first.
    ///
    /// # Errors
    /// A list that is none of digests.
    pub fn diff_ids(&self) -> Result<Vec<Digest>, ImageError> {
        let rootfs = self.root.read::<Option<RootFs>>("rootfs").map_err(malformed)?.flatten();
        let ids = rootfs.and_then(|rootfs| rootfs.diff_ids).unwrap_or_default();
        ids.iter().map(|id| Digest::parse(id).ok_or(ImageError::Malformed("config"))).collect()
    }

    /// Returns a label's text.
    ///
    /// # Errors
    /// Labels that are none.
    pub fn label(&self, key: &str) -> Result<Option<String>, ImageError> {
        let labels = self.container.inner("Labels").map_err(malformed)?;
        Ok(labels.read::<Option<String>>(key).map_err(malformed)?.flatten())
    }

    /// Returns the paths that a container has volumes at, which keep what they got from the first image.
    ///
    /// # Errors
    /// Volumes that are no JSON of their kind.
    pub fn volumes(&self) -> Result<Vec<String>, ImageError> {
        let volumes = self.container.read::<Option<BTreeMap<String, IgnoredAny>>>("Volumes").map_err(malformed)?;
        Ok(volumes.flatten().unwrap_or_default().into_keys().collect())
    }

    /// Returns `created` as it stands.
    pub fn created(&self) -> Option<String> {
        self.root.read::<Option<String>>("created").ok().flatten().flatten()
    }

    /// Makes the edits and returns the new config's bytes.
    ///
    /// # Errors
    /// A part that is not what a config has there.
    pub fn edit(mut self, edit: &Edit<'_>) -> Result<SecretBytes, ImageError> {
        if edit.launch {
            self.launch()?;
        }
        self.env(edit)?;
        let mut labels = self.container.inner("Labels").map_err(malformed)?;
        labels.set(LABEL, &edit.provenance);
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

    fn launch(&mut self) -> Result<(), ImageError> {
        let mut entrypoint = vec![LAUNCH.to_owned()];
        entrypoint.extend(self.words("Entrypoint")?);
        self.container.set("Entrypoint", &entrypoint);

        let mut healthcheck = self.container.inner("Healthcheck").map_err(malformed)?;
        let test = healthcheck.read::<Option<Vec<String>>>("Test").map_err(malformed)?.flatten().unwrap_or_default();
        let launched: Vec<String> = match test.split_first() {
            Some((kind, command)) if kind == "CMD" => {
                [kind.clone(), LAUNCH.to_owned()].into_iter().chain(command.iter().cloned()).collect()
            }
            Some((kind, command)) if kind == "CMD-SHELL" => {
                let mut shell = self.words("Shell")?;
                if shell.is_empty() {
                    shell = vec!["/bin/sh".to_owned(), "-c".to_owned()];
                }
                ["CMD".to_owned(), LAUNCH.to_owned()].into_iter().chain(shell).chain(command.iter().cloned()).collect()
            }
            // NONE, or inherited
            _ => return Ok(()),
        };
        healthcheck.set("Test", &launched);
        self.container.set("Healthcheck", &healthcheck);
        Ok(())
    }

    /// Reads a command, which old images may have as one string; an empty word alone says that there is none.
    fn words(&self, key: &str) -> Result<Vec<String>, ImageError> {
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

    fn env(&mut self, edit: &Edit<'_>) -> Result<(), ImageError> {
        let old = self.container.read::<Option<Vec<String>>>("Env").map_err(malformed)?.flatten().unwrap_or_default();
        // they may hold values
        let new: Vec<Zeroizing<String>> = edit.set.iter().map(|(name, value)| entry_of(name, value)).collect();
        let name_of = |entry: &str| entry.split('=').next().unwrap_or_default().to_owned();
        let mut env: Vec<&str> = old.iter().map(String::as_str).collect();
        env.retain(|entry| !edit.remove.contains(&name_of(entry).as_str()));
        for ((name, _), entry) in edit.set.iter().zip(&new) {
            // where the base has the name twice, runtimes differ in which one they take
            let at = env.iter().position(|entry| name_of(entry) == *name).unwrap_or(env.len());
            env.retain(|entry| name_of(entry) != *name);
            env.insert(at, entry);
        }
        if env != old {
            self.container.set("Env", &env);
        }
        Ok(())
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
        // tools pair history with layers, so a history that the base does not have cannot begin in the middle
        if history.is_none() && !old.is_empty() {
            return Ok(());
        }
        // an entry without a time crashes some engines
        let created = self.created().unwrap_or_else(|| "1970-01-01T00:00:00Z".to_owned());
        let entry = |created_by: &str, empty_layer| {
            serde_json::value::to_raw_value(&History { created: &created, created_by, empty_layer }).map_err(malformed)
        };
        let new: Vec<Box<RawValue>> = match layers {
            [] => vec![entry("secretbake variables", true)?],
            layers => layers.iter().map(|layer| entry(layer.created_by, false)).collect::<Result<_, _>>()?,
        };
        let history: Vec<&RawValue> =
            history.unwrap_or_default().into_iter().chain(new.iter().map(|entry| &**entry)).collect();
        let history = serde_json::value::to_raw_value(&history).map_err(malformed)?;
        self.root.set("history", &history);
        Ok(())
    }
}

/// Returns `NAME=VALUE`, without a copy that is not wiped.
fn entry_of(name: &str, value: &str) -> Zeroizing<String> {
    let mut entry = Zeroizing::new(String::with_capacity(name.len() + 1 + value.len()));
    for part in [name, "=", value] {
        entry.push_str(part);
    }
    entry
}

fn malformed(_: serde_json::Error) -> ImageError {
    // serde's message may quote the config
    ImageError::Malformed("config")
}
/// Returns the volume that a path lies in, the innermost if they are nested. It costs a look-up for each directory of the path.
pub fn volume_of<'v>(volumes: &'v BTreeSet<String>, path: &str) -> Option<&'v String> {
    let above = path.rmatch_indices('/').map(|(end, _)| path.get(..end).unwrap_or_default());
    above.flat_map(|directory| [directory.to_owned(), format!("{directory}/")]).find_map(|name| volumes.get(&name))
}
