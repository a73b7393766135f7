//! Owns the conflicts in a plan: between names and values of several images, or between an image and the command line.

use std::collections::{BTreeMap, BTreeSet};

use super::{ImagePlan, PlacedName, PlannedSource};
use crate::diagnostic::Diagnostic;
use crate::image::env_file;
use crate::image::index;
use crate::image::name::ImageName;
use crate::org::Org;
use crate::secret::SecretBytes;

/// With all platforms, checks that every name can hold an index: an engine, `docker save` and scratch have one platform's image under a name.
pub(super) fn every_name_can_hold_an_index(images: &[ImagePlan], problems: &mut Vec<Diagnostic>) {
    for image in images {
        for PlacedName { name, place } in image.base.iter().chain(&image.tags) {
            let holds = match name {
                ImageName::Registry(_) | ImageName::Layout { .. } | ImageName::OciArchive { .. } => true,
                ImageName::DockerArchive { .. } | ImageName::Engine(_) | ImageName::Scratch => false,
            };
            if !holds {
                let what = format!("--all-platforms: `{name}` holds the image of one platform only");
                problems.push(Diagnostic::error("one-platform", what).at(place.clone()).hint(index::WHERE));
            }
        }
    }
}

/// The code of the problem of a tag that does not go with an engine's base.
pub const ENGINE_BASE: &str = "engine-base";

/// Checks that no image of an engine is the base of one elsewhere.
pub(super) fn an_engine_s_base_stays_there(images: &[ImagePlan], problems: &mut Vec<Diagnostic>) {
    for image in images {
        let Some(PlacedName { name: base @ ImageName::Engine(_), .. }) = &image.base else { continue };
        for PlacedName { name: tag, place } in &image.tags {
            let pushed = match tag {
                ImageName::Engine(_) => continue,
                ImageName::Registry(repository) => {
                    Some(format!("or bake to {} and add --push", repository.as_written()))
                }
                _ => None,
            };
            let what = format!("{base} is in a container engine, so it cannot be the base of {tag}");
            let mut problem = Diagnostic::error(ENGINE_BASE, what)
                .at(place.clone())
                .cause("a container engine exports an image only as a whole")
                .hint(format!("save it with `docker save -o base.tar {base}`, and use docker-archive:base.tar"));
            problem.hints.extend(pushed);
            problems.push(problem);
        }
    }
}

/// With `inject: file`, checks that the format can hold every plain value. The bake checks the secret ones.
pub(super) fn plain_values_can_be_carried(images: &[ImagePlan], problems: &mut Vec<Diagnostic>) {
    let applications =
        |image: &'_ ImagePlan| image.env_file.as_ref().filter(|file| !file.launched).map(|file| file.format);
    for (image, format) in images.iter().filter_map(|image| Some((image, applications(image)?))) {
        problems.extend(image.variables.iter().filter_map(|variable| {
            let PlannedSource::Plain(text) = &variable.source else { return None };
            let why = env_file::refusal(format, &variable.name, &SecretBytes::from(text.clone()))?;
            Some(env_file::refused(why).at(variable.place.clone()))
        }));
    }
}

/// With --push, checks that no tag is a file.
pub(super) fn every_tag_can_be_pushed(images: &[ImagePlan], problems: &mut Vec<Diagnostic>) {
    for PlacedName { name, place } in images.iter().flat_map(|image| &image.tags).filter(|tag| tag.name.is_file()) {
        let what = format!("--push cannot push {name}: it is a file, not an image of an engine");
        let problem = Diagnostic::error("not-pushable", what).at(place.clone());
        problems.push(problem.hint("leave --push out, or bake to NAME:TAG or docker://HOST/REPO:TAG"));
    }
}

/// Checks that no two images write the same target, and that no file is written as two kinds of archive.
pub(super) fn targets_are_distinct(images: &[ImagePlan], problems: &mut Vec<Diagnostic>) {
    let mut owners: BTreeMap<String, (usize, &ImageName)> = BTreeMap::new();
    for (number, image) in images.iter().enumerate() {
        for PlacedName { name: tag, place } in &image.tags {
            let (owner, first) = *owners.entry(tag.replaces()).or_insert((number, tag));
            if owner == number && first.place() == tag.place() {
                continue;
            }
            let spelling = if first == tag { String::new() } else { format!(", as {first}") };
            let what = format!("{tag} is also written by {}{spelling}", images[owner].file);
            let problem = Diagnostic::error("shared-tag", what).at(place.clone());
            problems.push(problem.hint("give each image its own tag, and each archive its own file"));
        }
    }
}

/// Checks that only one of the org file and the bases is standard input, which can be read once.
pub(super) fn standard_input_has_one_use(images: &[ImagePlan], org: &Org, problems: &mut Vec<Diagnostic>) {
    let bases: BTreeSet<String> = images
        .iter()
        .filter_map(|image| image.base.as_ref())
        .filter(|base| base.name.is_standard())
        .map(|base| base.name.to_string())
        .collect();
    let org = (org.file == "-").then(|| FROM_STANDARD_INPUT.to_owned());
    problems.extend(shared_input(org.into_iter().chain(bases)));
}

/// How an org file is named that is read from standard input.
pub const FROM_STANDARD_INPUT: &str = "--org -";

/// Returns the problem if several are to read standard input; `readers` are named as the user wrote them.
pub fn shared_input(readers: impl Iterator<Item = String>) -> Option<Diagnostic> {
    let readers: Vec<String> = readers.collect();
    let what = format!("standard input can be read once, not by {}", readers.join(" and by "));
    let problem = Diagnostic::error("shared-input", what).hint("name a file for all of them but one");
    (readers.len() > 1).then_some(problem)
}
