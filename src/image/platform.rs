//! Owns platforms (operating system, architecture and variant, as Go names them) and the choice of an image by platform.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

/// A platform, such as `linux/arm64/v8`. Its JSON is that of a descriptor or a config.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Platform {
    pub architecture: String,
    pub os: String,
    #[serde(default, deserialize_with = "unless_empty", skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

fn unless_empty<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<String>::deserialize(from)?.filter(|text| !text.is_empty()))
}

/// Chooses the image for a platform: of those that satisfy it, preferably one with the same variant.
pub fn choose<'p, T>(images: impl IntoIterator<Item = (Option<&'p Platform>, T)>, wanted: &Platform) -> Option<T> {
    let mut first = None;
    for (platform, image) in images {
        let Some(platform) = platform.filter(|platform| platform.satisfies(wanted)) else { continue };
        if platform.variant == wanted.variant {
            return Some(image);
        }
        first.get_or_insert(image);
    }
    first
}

/// The images of a multi-platform base that are baked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Platforms {
    /// The platform of the store.
    #[default]
    Own,
    One(Platform),
    /// All of them, in an index like that of the base.
    All,
}

impl Platforms {
    /// Returns the platform that is asked for, or else that of the store.
    pub fn one(platform: Option<&Platform>) -> Self {
        platform.cloned().map_or(Platforms::Own, Platforms::One)
    }

    /// Returns the platform that is asked for, if it is one.
    pub fn asked(&self) -> Option<&Platform> {
        match self {
            Platforms::One(platform) => Some(platform),
            Platforms::Own | Platforms::All => None,
        }
    }
}

impl Platform {
    /// Returns the Linux platform of this build.
    pub fn host() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "x86" => "386",
            other => other,
        };
        Platform { os: "linux".to_owned(), architecture: architecture.to_owned(), variant: None }
    }

    /// Parses `OS/ARCH[/VARIANT]`.
    pub fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split('/').collect();
        let good = |part: &&str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !parts.iter().all(good) {
            return None;
        }
        match parts[..] {
            [os, architecture] => {
                Some(Platform { os: os.to_owned(), architecture: architecture.to_owned(), variant: None })
            }
            [os, architecture, variant] => Some(Platform {
                os: os.to_owned(),
                architecture: architecture.to_owned(),
                variant: Some(variant.to_owned()),
            }),
            _ => None,
        }
    }

    /// Tells whether an image of this platform runs where `wanted` is asked for. Aliases such as `aarch64` are known, and a variant that is
    /// not asked for does not matter.
    pub fn satisfies(&self, wanted: &Platform) -> bool {
        let (architecture, variant) = wanted.normal();
        self.os == wanted.os && self.normal().0 == architecture && (variant.is_none() || self.normal().1 == variant)
    }

    /// Returns the architecture and variant as containerd normalizes them.
    fn normal(&self) -> (&str, Option<&str>) {
        match (self.architecture.as_str(), self.variant.as_deref()) {
            ("aarch64" | "arm64", None | Some("8" | "v8")) => ("arm64", None),
            ("aarch64", variant) => ("arm64", variant),
            ("x86_64" | "amd64", None | Some("v1")) => ("amd64", None),
            ("x86_64", variant) => ("amd64", variant),
            ("i386", _) => ("386", None),
            ("armhf", _) | ("arm", None | Some("7")) => ("arm", Some("v7")),
            ("armel", _) | ("arm", Some("6")) => ("arm", Some("v6")),
            ("arm", Some("5")) => ("arm", Some("v5")),
            (architecture, variant) => (architecture, variant),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_of_the_same_variant_is_preferred() {
        let platforms = ["linux/arm64/v9", "linux/arm64", "linux/amd64"].map(|text| Platform::parse(text).unwrap());
        let chosen = |wanted| {
            let images = platforms.iter().enumerate().map(|(number, platform)| (Some(platform), number));
            choose(images, &Platform::parse(wanted).unwrap())
        };
        assert_eq!(chosen("linux/arm64"), Some(1));
        assert_eq!(chosen("linux/aarch64/v9"), Some(0));
        assert_eq!(chosen("linux/386"), None);
    }

    #[test]
    fn a_platform_is_the_same_by_each_of_its_names() {
        for (is, wanted, satisfies) in [
            ("linux/arm64", "linux/arm64/v8", true),
            ("linux/arm64/v8", "linux/arm64", true),
            ("linux/arm64", "linux/aarch64", true),
            ("linux/arm64/v9", "linux/arm64", true),
            ("linux/arm64", "linux/arm64/v9", false),
            ("linux/amd64", "linux/x86_64", true),
            ("linux/amd64/v1", "linux/amd64", true),
            ("linux/amd64", "linux/amd64/v1", true),
            ("linux/amd64", "linux/amd64/v3", false),
            ("linux/arm/v7", "linux/armhf", true),
            ("linux/arm/v6", "linux/armel", true),
            ("linux/arm/v6", "linux/armhf", false),
            ("linux/arm", "linux/arm/v7", true),
            ("linux/arm/v7", "linux/arm", true),
            ("linux/arm/v6", "linux/arm", false),
            ("windows/amd64", "linux/amd64", false),
        ] {
            let [platform, asked] = [is, wanted].map(|text| Platform::parse(text).unwrap());
            assert_eq!(platform.satisfies(&asked), satisfies, "{is} for {wanted}");
        }
    }

    #[test]
    fn a_platform_is_words_between_slashes() {
        for text in ["linux", "linux/", "/amd64", "linux/a-b", "linux/arm/v7/x"] {
            assert_eq!(Platform::parse(text), None, "{text}");
        }
        assert_eq!(Platform::parse("linux/arm/v7").unwrap().to_string(), "linux/arm/v7");
    }
}
