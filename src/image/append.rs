//! Owns how a base, the values and the base's file tree become a baked [`Image`].

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::access::{Access, Id, Owner};
use super::config::{Config, ConfigEdit, LAUNCH};
use super::labels::base_labels;
use super::layer::{self, Directory, Layer, NewFile, Ownership};
use super::manifest::with_layers;
use super::platform::Platform;
use super::provenance::{LABEL, Origins};
use super::recipe::{self, RecipeText};
use super::seal::{self, Recipient};
use super::tree::{self, Tree, TreeRequirements};
use super::undo::RECIPE;
use super::{Base, Image, ImageError, KnownBase};
use crate::secret::{SecretBuffer, SecretBytes};

/// What a bake adds to the base.
pub struct Additions<'a> {
    /// Variables for the config's Env.
    pub config_env: Vec<(&'a str, &'a str)>,
    pub env_file: Option<EnvFile<'a>>,
    pub files: Vec<FileContent<'a>>,
    /// Who the env file and the files are sealed for; `None` if they are not.
    pub seal: Option<&'a [Recipient]>,
    pub origins: &'a Origins,
    /// What a rebake needs of the plan.
    pub recipe: &'a RecipeText,
}

/// The env file.
pub struct EnvFile<'a> {
    pub path: &'a str,
    pub content: SecretBytes,
    pub access: &'a Access,
    /// With a launcher: its programs, one for each architecture, and the names of the variables in the file.
    pub launch: Option<(&'a [Launcher], Vec<&'a str>)>,
}

/// A new file with a secret.
pub struct FileContent<'a> {
    pub path: &'a str,
    pub content: &'a SecretBytes,
    pub access: &'a Access,
}

/// The static program that starts the image's own program.
#[derive(Clone)]
pub struct Launcher {
    pub program: Cow<'static, [u8]>,
    /// Its architecture, as Go names it.
    pub architecture: String,
}

/// The default mode of a file: an arbitrary user in group 0 can read it too.
pub const MODE: u32 = 0o440;
const OURS: &str = "/.secretbake";
/// Where the launcher of a sealed image finds the files that it opens at start.
const SEALED: &str = "/.secretbake/sealed";
/// The most layers that every engine runs: those of Docker Engine without the containerd image store.
const MOST_LAYERS: usize = 125;

impl Launcher {
    /// Returns the first launcher that runs on a platform; for a sealed image, the first that opens seals too.
    fn for_platform<'l>(
        launchers: &'l [Launcher],
        platform: &Platform,
        is_sealed: bool,
    ) -> Result<&'l Launcher, ImageError> {
        let able = || launchers.iter().filter(|launcher| !is_sealed || launcher.opens_seals());
        able().find(|launcher| launcher.architecture == platform.architecture).ok_or_else(|| {
            let mut all: Vec<String> = able().map(|launcher| format!("linux/{}", launcher.architecture)).collect();
            let mut seen = BTreeSet::new();
            all.retain(|architecture| seen.insert(architecture.clone()));
            let kind = if is_sealed { "sealing launcher" } else { "launcher" };
            ImageError::OtherArchitecture { image: platform.to_string(), kind, launchers: all.join(" and ") }
        })
    }

    /// Tells whether the launcher opens sealed files: then it knows how they begin.
    fn opens_seals(&self) -> bool {
        self.program.windows(seal::MAGIC.len()).any(|part| part == seal::MAGIC)
    }

    /// Returns the architecture of an ELF program, as Go names it; `None` if it is unknown.
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

/// Returns what [`append`] must know of the base's file tree. Fails if nothing can be baked onto the base.
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

/// Why a file does not fit a base.
pub enum Misfit {
    /// It cannot be put at its path.
    Path(ImageError),
    /// The base has no such user or group.
    Owner(ImageError),
}

/// Returns where a file is put in the base's tree, with links followed; `None` if too little is known of the tree.
pub fn place_file(known: &KnownBase, path: &str, access: &Access) -> Result<Option<String>, Misfit> {
    let KnownBase { base, tree, .. } = known;
    let owner = owner(access, &base.config).map_err(Misfit::Owner)?;
    let files = if is_ours(path) { Vec::new() } else { vec![path.to_owned()] };
    let above = TreeRequirements { files, owners: Vec::new() }.missing(tree).map_err(Misfit::Path)?;
    let owners = TreeRequirements { files: Vec::new(), owners: vec![owner.clone()] };
    let missing = owners.missing(tree).map_err(Misfit::Owner)?;
    if !above.needed.is_empty() || !missing.needed.is_empty() {
        return Ok(None);
    }
    tree::look_up(tree, &owner).map_err(Misfit::Owner)?;
    let path = if is_ours(path) { path.to_owned() } else { tree::locate(tree, path).map_err(Misfit::Path)?.0 };
    Ok(Some(path))
}

/// Makes the baked image.
pub fn append(known: &KnownBase, contents: &Additions<'_>, created: Option<&str>) -> Result<Image, ImageError> {
    let KnownBase { base, name, tree, replaced } = known;
    let config = &base.config;
    let platform = config.platform()?;
    let mut diff_ids = config.diff_ids()?;
    let mut layers = Vec::new();
    let launch = contents.env_file.as_ref().and_then(|file| file.launch.as_ref());
    let program = match launch {
        Some((launchers, _)) => {
            let launcher = Launcher::for_platform(launchers, &platform, contents.seal.is_some())?;
            Some(SecretBytes::new(launcher.program.to_vec()))
        }
        None => None,
    };
    // near the limit one layer has both, so that the image still runs everywhere
    let (alone, shared) = if diff_ids.len() + 2 > MOST_LAYERS { (None, program) } else { (program, None) };
    layers.extend(alone.as_ref().map(launcher_layer).transpose()?);
    layers.extend(secrets_layer(contents, tree, config, shared.as_ref())?);

    let provenance = contents.origins.on_base(base.digest.as_ref());
    let provenance = serde_json::to_string(&provenance).map_err(|_| ImageError::Malformed("provenance"))?;
    let of_base = base_labels(name.as_deref(), base.digest.as_ref());
    let mut edit = ConfigEdit {
        launch: launch.is_some(),
        opens_files: launch.is_some() && contents.seal.is_some(),
        set: contents.config_env.clone(),
        remove: launch.map(|(_, names)| names.clone()).unwrap_or_default(),
        labels: [(LABEL, Some(provenance))].into_iter().chain(of_base.clone()).collect(),
        layers: &layers,
        created,
    };
    if let Some(name) = replaced.iter().find(|name| !edit.sets_or_removes(name)) {
        return Err(ImageError::NeedsBase(name.clone()));
    }
    let paths = contents.env_file.iter().map(|file| file.path).chain(contents.files.iter().map(|file| file.path));
    let access = contents.env_file.iter().map(|file| file.access).chain(contents.files.iter().map(|file| file.access));
    let seen = requirements(base, paths, access)?.seen(tree)?;
    let label = recipe::label(contents.recipe, config.undo(&edit, replaced)?, &seen)?;
    edit.labels.insert(1, (RECIPE, Some(label)));
    let config = config.clone().edit(&edit)?;
    diff_ids.extend(layers.iter().map(|layer| layer.diff_id.clone()));
    let manifest = with_layers(&base.manifest, &config, &layers, &of_base)?;
    let config_has_values = contents.origins.inject == "config";
    Ok(Image { manifest, config, layers, diff_ids, platform, config_has_values })
}

/// Makes the launcher's layer: the same bytes for every image, so an engine stores it once.
fn launcher_layer(program: &SecretBytes) -> Result<Layer, ImageError> {
    let file = NewFile { path: LAUNCH, owned: LAUNCHER_OWNED, content: program };
    layer::write(&[our_directory(OURS)], &[file], "secretbake launcher").map_err(|_| ImageError::Malformed("layer"))
}

/// The layer of the env file and the files, with the launcher in it too if it is given.
fn secrets_layer(
    contents: &Additions<'_>,
    tree: &Tree,
    config: &Config,
    launcher: Option<&SecretBytes>,
) -> Result<Option<Layer>, ImageError> {
    let stored = |content| match contents.seal {
        Some(recipients) => seal::seal(content, recipients).map(Cow::Owned),
        None => Ok(Cow::Borrowed(content)),
    };
    let locate = |path: &str| match is_ours(path) {
        true => Ok((path.to_owned(), vec![our_directory(OURS)])),
        false => tree::locate(tree, path),
    };
    let owned = |access: &Access| {
        let (uid, gid) = tree::look_up(tree, &owner(access, config)?)?;
        Ok(Ownership { uid, gid, mode: access.mode.unwrap_or(MODE) })
    };
    let mut directories: Vec<Directory> = Vec::new();
    let mut places: Vec<(String, Ownership, Cow<'_, SecretBytes>)> = Vec::new();
    if let Some(file) = &contents.env_file {
        let (path, above) = locate(file.path)?;
        directories.extend(above);
        places.push((path, owned(file.access)?, stored(&file.content)?));
    }
    // the launcher of a sealed image opens the files where they belong, and needs an env file for any of them
    let opened_by = contents.env_file.as_ref().filter(|file| contents.seal.is_some() && file.launch.is_some());
    let mut files: Vec<&FileContent<'_>> = contents.files.iter().collect();
    files.sort_by_key(|file| file.path);
    let (mut index, mut targets) = (SecretBuffer::default(), BTreeSet::new());
    for (number, file) in files.iter().enumerate() {
        let (path, above) = locate(file.path)?;
        let Some(env_file) = opened_by else {
            directories.extend(above);
            places.push((path, owned(file.access)?, stored(file.content)?));
            continue;
        };
        if !targets.insert(path.clone()) {
            return Err(ImageError::SamePlace(path));
        }
        // the launcher writes there as the image's user, or as an arbitrary one in group 0; a tmpfs takes the mode over
        let writable = Ownership { mode: 0o775, ..owned(env_file.access)? };
        let is_new = |path: &str| path != OURS && tree::is_absent(tree, path);
        directories.extend(above.into_iter().map(|directory| match is_new(&directory.path) {
            true => Directory { owned: writable, ..directory },
            false => directory,
        }));
        let owner = file.access.owner.as_ref().map(|owner| tree::look_up(tree, owner)).transpose()?;
        index.push(index_record(file, owner).as_bytes());
        places.push((format!("{SEALED}/{number}"), owned(env_file.access)?, stored(file.content)?));
    }
    if opened_by.is_some() && !files.is_empty() {
        directories.extend([our_directory(OURS), our_directory(SEALED)]);
        let everyone = Ownership { uid: 0, gid: 0, mode: 0o444 };
        places.push((format!("{SEALED}/index"), everyone, Cow::Owned(index.finish())));
    }
    if places.is_empty() {
        return Ok(None);
    }
    if let Some(program) = launcher {
        directories.push(our_directory(OURS));
        places.push((LAUNCH.to_owned(), LAUNCHER_OWNED, Cow::Borrowed(program)));
    }
    directories.sort_by(|a, b| a.path.cmp(&b.path));
    directories.dedup();
    places.sort_by(|a, b| a.0.cmp(&b.0));
    if let Some(pair) = places.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(ImageError::SamePlace(pair[0].0.clone()));
    }
    let files: Vec<NewFile<'_>> =
        places.iter().map(|(path, owned, content)| NewFile { path, owned: *owned, content }).collect();
    let created_by = if launcher.is_some() { "secretbake launcher and secrets" } else { "secretbake secrets" };
    layer::write(&directories, &files, created_by).map(Some).map_err(|_| ImageError::Malformed("layer"))
}

const LAUNCHER_OWNED: Ownership = Ownership { uid: 0, gid: 0, mode: 0o755 };

/// Returns the record of a sealed file for the launcher: `MODE UID GID PATH` and a NUL. Without an `owner:` both IDs are `-`, whoever the
/// container runs as: only root may give a file away.
fn index_record(file: &FileContent<'_>, owner: Option<(u32, u32)>) -> String {
    let owner = owner.map_or_else(|| "- -".to_owned(), |(uid, gid)| format!("{uid} {gid}"));
    format!("{:o} {owner} {}\0", file.access.mode.unwrap_or(MODE), file.path)
}

/// A directory of the launcher and of the default env file; no base has it.
fn our_directory(path: &str) -> Directory {
    Directory { path: path.to_owned(), owned: Ownership { uid: 0, gid: 0, mode: 0o755 }, modified: 0 }
}

fn is_ours(path: &str) -> bool {
    path.strip_prefix(OURS).and_then(|rest| rest.strip_prefix('/')).is_some_and(|name| !name.contains('/'))
}

/// Returns the owner of a file: the manifest's, or else the image's user with group 0.
fn owner(access: &Access, config: &Config) -> Result<Owner, ImageError> {
    if let Some(owner) = &access.owner {
        return Ok(owner.clone());
    }
    let user = config.user()?;
    let user = user.split(':').next().unwrap_or_default();
    match user {
        "" => Ok(Owner { user: Id::Number(0), group: None }),
        user => Owner::parse(user).ok_or_else(|| ImageError::UnknownUser(user.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tree::Entry;
    use super::*;

    #[test]
    fn a_file_has_no_place_until_its_owner_and_all_above_it_are_known() {
        let directory = || Entry::Directory { owned: Ownership { uid: 0, gid: 0, mode: 0o755 }, modified: 0 };
        let above = || vec![("/app", Entry::Absent)];
        let users = || {
            vec![("/etc", directory()), ("/etc/passwd", Entry::File { content: b"app:x:7:7::/:/bin/sh\n".to_vec() })]
        };
        let number = || Id::Number(7);
        let name = || Id::Name("app".to_owned());
        for (tree, user, place) in [
            (vec![], number(), None),
            (vec![], name(), None),
            (above(), number(), Some("/app/key")),
            (above(), name(), None),
            (users(), name(), None),
            (above().into_iter().chain(users()).collect(), name(), Some("/app/key")),
        ] {
            let config = Config::parse(b"{}".to_vec()).unwrap_or_else(|_| panic!("a config"));
            let base = Base { digest: None, index: None, manifest: Vec::new(), config };
            let tree = tree.into_iter().map(|(path, entry)| (path.to_owned(), entry)).collect();
            let known = KnownBase { base, name: None, tree, replaced: BTreeSet::new() };
            let access = Access { mode: None, owner: Some(Owner { user, group: Some(number()) }) };
            let found = place_file(&known, "/app/key", &access).unwrap_or_else(|_| panic!("no misfit"));
            assert_eq!(found.as_deref(), place);
        }
    }
}
