//! Owns the platform of an image: operating system, architecture and variant, in Go's words.

use std::fmt;

/// A platform, as `linux/arm64/v8`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Platform {
    pub os: String,
    pub architecture: String,
    pub variant: Option<String>,
}

/// Which images of a base of several platforms are baked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Platforms {
    /// The store's own.
    #[default]
    Own,
    One(Platform),
    /// Each of them, in an index as the base's.
    All,
}

impl Platforms {
    /// Returns the platform that is asked for, else the store's own.
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
    /// Returns the platform of Linux on the machine this program was built for.
    pub fn host() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "x86" => "386",
            other => other,
        };
        Platform { os: "linux".to_owned(), architecture: architecture.to_owned(), variant: None }
    }

    /// Reads `OS/ARCH[/VARIANT]`.
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

    /// Tells whether an image of this platform is what `wanted` asks for, whichever name of it either has: a variant that was not
    /// asked for does not matter.
    pub fn satisfies(&self, wanted: &Platform) -> bool {
        let (architecture, variant) = wanted.normal();
        self.os == wanted.os && self.normal().0 == architecture && (variant.is_none() || self.normal().1 == variant)
    }

    /// Returns the architecture and variant in containerd's words, in which a platform has one name.
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
}
