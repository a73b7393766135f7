//! Owns the making of the baked image: base, values and what is known of the base's tree become an [`Image`].

use serde::Serialize;
use serde_json::value::RawValue;

use super::access::{Access, Id, Owner};
use super::config::{Config, ConfigEdit, LAUNCH};
use super::digest::Digest;
use super::json::RawObject;
use super::layer::{self, Directory, Layer, NewFile, Owned};
use super::platform::Platform;
use super::provenance::Origins;
use super::tree::{self, Tree, TreeRequirements};
use super::{Base, Image, ImageError, media};
use crate::secret::SecretBytes;

/// What is put into the image.
pub struct Additions<'a> {
    /// Set in the config's Env.
    pub config_env: Vec<(&'a str, &'a str)>,
    /// The env file, where there is one, and the names of its variables.
    pub env_file: Option<EnvFile<'a>>,
    pub files: Vec<FileContent<'a>>,
    pub origins: &'a Origins,
}

/// The env file.
pub struct EnvFile<'a> {
    pub path: &'a str,
    pub content: SecretBytes,
    pub access: &'a Access,
    /// With a launcher: the programs, one for each architecture, and the variables that they set.
    pub launch: Option<(&'a [Launcher], Vec<&'a str>)>,
}

/// A file whose content is a secret.
pub struct FileContent<'a> {
    pub path: &'a str,
    pub content: &'a SecretBytes,
    pub access: &'a Access,
}

/// The static program that is put in front of the image's own.
#[derive(Clone)]
pub struct Launcher {
    pub program: Vec<u8>,
    /// The architecture that it runs on, in Go's words.
    pub architecture: String,
}

/// The mode of a file where the manifest says none: an arbitrary user in group 0 can read it too.
pub const MODE: u32 = 0o440;
const OURS: &str = "/.secretbake";

impl Launcher {
    /// Returns the launcher that runs on a platform.
    fn for_platform<'l>(launchers: &'l [Launcher], platform: &Platform) -> Result<&'l Launcher, ImageError> {
        let fitting = launchers.iter().find(|launcher| launcher.architecture == platform.architecture);
        fitting.ok_or_else(|| {
            let all: Vec<String> =
                launchers.iter().map(|launcher| format!("linux/{}", launcher.architecture)).collect();
            ImageError::OtherArchitecture { image: platform.to_string(), launchers: all.join(" and ") }
        })
    }

    /// Returns the architecture of a Linux program, in Go's words; `None` if the bytes are no ELF program that is known.
    pub fn architecture_of(program: &[u8]) -> Option<&'static str> {
        let header: &[u8; 20] = program.first_chunk()?;
        if !header.starts_with(b"\x7fELF") {
            return None;
        }
        // e_ident's class and byte order, and e_machine
        match (header[4], header[5], header[18]) {
            (2, 1, 62) => Some("amd64"),
            (2, 1, 183) => Some("arm64"),
            (2, 1, 243) => Some("riscv64"),
            (2, 1, 21) => Some("ppc64le"),
            (1, 1, 3) => Some("386"),
            (1, 1, 40) => Some("arm"),
            _ => None,
        }
    }
}

/// Returns what must be known of the base's tree before [`append`].
///
/// # Errors
/// A base that nothing can be appended to.
pub fn requirements<'a>(
    base: &Base,
    files: impl Iterator<Item = &'a str>,
    access: impl Iterator<Item = &'a Access>,
) -> Result<TreeRequirements, ImageError> {
    let config = &base.config;
    let platform = config.platform()?;
    if platform.os != "linux" {
        return Err(ImageError::NotLinux(platform.to_string()));
    }
    if config.is_baked()? {
        return Err(ImageError::AlreadyBaked);
    }
    let files = files.filter(|path| !is_ours(path)).map(str::to_owned).collect();
    let owners = access.map(|access| owner(access, config)).collect::<Result<_, _>>()?;
    Ok(TreeRequirements { files, owners })
}

/// Makes the baked image.
///
/// # Errors
/// What the base does not allow.
pub fn append(base: &Base, contents: &Additions<'_>, tree: &Tree, created: Option<&str>) -> Result<Image, ImageError> {
    let config = &base.config;
    let platform = config.platform()?;
    let mut diff_ids = config.diff_ids()?;
    let mut layers = Vec::new();
    let launch = contents.env_file.as_ref().and_then(|file| file.launch.as_ref());
    if let Some((launchers, _)) = launch {
        layers.push(launcher_layer(Launcher::for_platform(launchers, &platform)?)?);
    }
    layers.extend(secrets_layer(contents, tree, config)?);

    let provenance = contents.origins.on_base(base.digest.as_ref());
    let provenance = serde_json::to_string(&provenance).map_err(|_| ImageError::Malformed("provenance"))?;
    let config = config.clone().edit(&ConfigEdit {
        launch: launch.is_some(),
        set: contents.config_env.clone(),
        remove: launch.map(|(_, names)| names.clone()).unwrap_or_default(),
        provenance,
        layers: &layers,
        created,
    })?;
    diff_ids.extend(layers.iter().map(|layer| layer.diff_id.clone()));
    let manifest = manifest(base, &config, &layers)?;
    let config_has_values = contents.origins.inject == "config";
    Ok(Image { manifest, config, layers, diff_ids, platform, config_has_values })
}

/// The launcher's own layer: the same bytes in every image, so an engine keeps it once.
fn launcher_layer(launcher: &Launcher) -> Result<Layer, ImageError> {
    let owned = Owned { uid: 0, gid: 0, mode: 0o755 };
    let content = SecretBytes::new(launcher.program.clone());
    let file = NewFile { path: LAUNCH, owned, content: &content };
    layer::write(&[our_directory()], &[file], "secretbake launcher").map_err(|_| ImageError::Malformed("layer"))
}

fn secrets_layer(contents: &Additions<'_>, tree: &Tree, config: &Config) -> Result<Option<Layer>, ImageError> {
    let env = contents.env_file.iter().map(|file| (file.path, &file.content, file.access));
    let files = contents.files.iter().map(|file| (file.path, file.content, file.access));
    let mut directories: Vec<Directory> = Vec::new();
    let mut places = Vec::new();
    for (path, content, access) in env.chain(files) {
        let (path, above) = match is_ours(path) {
            true => (path.to_owned(), vec![our_directory()]),
            false => tree::locate(tree, path)?,
        };
        directories.extend(above);
        let (uid, gid) = tree::look_up(tree, &owner(access, config)?)?;
        places.push((path, Owned { uid, gid, mode: access.mode.unwrap_or(MODE) }, content));
    }
    if places.is_empty() {
        return Ok(None);
    }
    directories.sort_by(|a, b| a.path.cmp(&b.path));
    directories.dedup();
    places.sort_by(|a, b| a.0.cmp(&b.0));
    if let Some(pair) = places.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(ImageError::SamePlace(pair[0].0.clone()));
    }
    let files: Vec<NewFile<'_>> =
        places.iter().map(|(path, owned, content)| NewFile { path, owned: *owned, content }).collect();
    layer::write(&directories, &files, "secretbake secrets").map(Some).map_err(|_| ImageError::Malformed("layer"))
}

/// The directory of the launcher and of the default env file, which no base has.
fn our_directory() -> Directory {
    Directory { path: OURS.to_owned(), owned: Owned { uid: 0, gid: 0, mode: 0o755 }, modified: 0 }
}

fn is_ours(path: &str) -> bool {
    path.strip_prefix(OURS).and_then(|rest| rest.strip_prefix('/')).is_some_and(|name| !name.contains('/'))
}

/// Returns who owns a file: as the manifest says, else the image's user with group 0.
fn owner(access: &Access, config: &Config) -> Result<Owner, ImageError> {
    if let Some(owner) = &access.owner {
        return Ok(owner.clone());
    }
    let user = config.user()?;
    let user = user.split(':').next().unwrap_or_default();
    match user {
        "" => Ok(Owner { user: Id::Number(0), group: None }),
        user => Owner::parse(user)
            .map(|owner| Owner { group: None, ..owner })
            .ok_or_else(|| ImageError::UnknownUser(user.to_owned())),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor<'a> {
    media_type: &'a str,
    digest: &'a str,
    size: usize,
}

/// Makes the manifest: the base's own, with the new config and the new layers behind the base's descriptors.
fn manifest(base: &Base, config: &SecretBytes, new: &[Layer]) -> Result<Vec<u8>, ImageError> {
    let malformed = |_| ImageError::Malformed("manifest");
    let mut manifest = RawObject::parse(&base.manifest).map_err(malformed)?;
    let kind = manifest.read::<String>("mediaType").map_err(malformed)?;
    let layer_type = match kind.as_deref() {
        Some(media::DOCKER_MANIFEST) => media::DOCKER_LAYER_GZIP,
        _ => media::OCI_LAYER_GZIP,
    };
    let config_type = manifest.inner("config").map_err(malformed)?.read::<String>("mediaType").map_err(malformed)?;
    let digest = Digest::of(config.expose());
    manifest.set(
        "config",
        &Descriptor {
            media_type: config_type.as_deref().unwrap_or(media::OCI_CONFIG),
            digest: digest.as_str(),
            size: config.len(),
        },
    );
    let new: Vec<Box<RawValue>> = new
        .iter()
        .map(|layer| Descriptor { media_type: layer_type, digest: layer.digest.as_str(), size: layer.gzip.len() })
        .map(|descriptor| serde_json::value::to_raw_value(&descriptor).map_err(malformed))
        .collect::<Result<_, _>>()?;
    let old = manifest.read::<Vec<&RawValue>>("layers").map_err(malformed)?.unwrap_or_default();
    let layers: Vec<&RawValue> = old.into_iter().chain(new.iter().map(|layer| &**layer)).collect();
    let layers = serde_json::value::to_raw_value(&layers).map_err(malformed)?;
    manifest.set("layers", &layers);
    serde_json::to_vec(&manifest).map_err(malformed)
}
