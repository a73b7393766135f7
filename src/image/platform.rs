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

    /// Tells whether an image of this platform is what `wanted` asks for: a variant that was not asked for does not matter.
    pub fn satisfies(&self, wanted: &Platform) -> bool {
        self.os == wanted.os
            && self.architecture == wanted.architecture
            && (wanted.variant.is_none() || self.variant == wanted.variant)
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
