//! Owns the options that several commands have, and how their values are read.

use clap::{Args, ValueEnum};

use crate::image::name::{ImageName, Repository};
use crate::image::platform::Platform;

// not a doc comment, which would be the help of the commands that have it
// How registries are spoken to.
#[derive(Args)]
pub(super) struct Registries {
    /// Use plain HTTP for this registry; repeatable
    #[arg(long = "insecure-registry", value_name = "HOST", value_parser = registry_host)]
    pub insecure: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum OutputFormat {
    Text,
    Json,
}

pub(super) fn image_name(text: &str) -> Result<ImageName, String> {
    ImageName::parse(text).map_err(|error| format!("{error}; {}", error.hint(text)))
}

pub(super) fn platform(text: &str) -> Result<Platform, String> {
    Platform::parse(text).ok_or_else(|| "not a platform; write OS/ARCH, as in linux/arm64".to_owned())
}

/// Reads how many things are done at once.
pub(super) fn jobs(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(jobs @ 1..=256) => Ok(jobs),
        _ => Err("write a number from 1 to 256".to_owned()),
    }
}

fn registry_host(text: &str) -> Result<String, String> {
    match Repository::parse(&format!("{text}/name")) {
        Ok(name) if name.host() == text => Ok(text.to_owned()),
        _ => Err("not a registry's host; write it as in image names, as in registry.example.com:5000".to_owned()),
    }
}
