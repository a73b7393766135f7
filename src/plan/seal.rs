//! Owns who an image's values are sealed for: the command line's word, else the manifest's, else the org file's.

use super::{Overrides, first_line};
use crate::diagnostic::Diagnostic;
use crate::image::seal::Recipient;
use crate::manifest::yaml::place;
use crate::manifest::{Image, Inject, Manifest, SealChoice};
use crate::org::Org;

/// The code of the problem that the org file requires a seal, and the image has no recipients.
pub const SEAL_REQUIRED: &str = "seal-required";
/// The code of the problem that an image is to be sealed whose variables are in its config.
pub const SEAL_IN_CONFIG: &str = "seal-in-config";

/// Returns the recipients of an image with secrets, sorted and each once; `None` if it is not sealed. Adds what speaks against it.
///
/// Without `needs_images` they are empty if the org file wants a seal and only the command line of the bake can name the recipients.
pub(super) fn recipients(
    manifest: &Manifest,
    org: &Org,
    overrides: &Overrides,
    needs_images: bool,
    problems: &mut Vec<Diagnostic>,
) -> Option<Vec<Recipient>> {
    let chosen = manifest.image.seal.as_ref();
    let required = org.seal.as_ref().is_some_and(|seal| seal.required);
    let mut recipients: Vec<Recipient> = match (&overrides.seal_to[..], chosen.map(|chosen| &chosen.value)) {
        ([], Some(SealChoice::For(recipients))) => recipients.clone(),
        ([], Some(SealChoice::Off)) => Vec::new(),
        ([], None) => org.seal.iter().flat_map(|seal| seal.recipients.iter().cloned()).collect(),
        (recipients, _) => recipients.to_vec(),
    };
    recipients.sort();
    recipients.dedup();
    let at = |path: &str| match chosen {
        Some(chosen) => place(&manifest.file, chosen.at, "image.seal".to_owned()),
        None => first_line(&manifest.file, path),
    };
    let is_off = is_refused(&manifest.image) && overrides.seal_to.is_empty();
    let problem = match (recipients.is_empty(), required) {
        (true, false) => return None,
        (true, true) if is_off => {
            let what = format!("{} requires sealed images", org.file);
            Diagnostic::error(SEAL_REQUIRED, what)
                .at(at("image.seal"))
                .hint("remove `seal: none`, or write `seal: { recipients: [age1...] }`")
        }
        (true, true) if needs_images => {
            let what = format!("{} requires sealed images, and nothing says for whom", org.file);
            Diagnostic::error(SEAL_REQUIRED, what)
                .at(at("image.seal"))
                .hint("write `seal: { recipients: [age1...] }` under `image:`, or give --seal-to")
        }
        _ if manifest.image.inject == Inject::Config => {
            let off = if required { "" } else { ", or `seal: none`" };
            Diagnostic::error(SEAL_IN_CONFIG, "variables in the config cannot be sealed")
                .at(at("image.inject"))
                .hint(format!("write `inject: launcher` or `inject: file` under `image:`{off}"))
        }
        _ => return Some(recipients),
    };
    problems.push(problem);
    None
}

/// Tells whether the manifest says `seal: none`.
pub(super) fn is_refused(image: &Image) -> bool {
    image.seal.as_ref().is_some_and(|chosen| matches!(chosen.value, SealChoice::Off))
}
