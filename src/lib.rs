//! Bakes secret values into a new layer of a deployment's image.
//!
//! Data flows one way: manifest and org make a plan, providers resolve it, the values become a layer, the layer is
//! appended to the base, a store takes the image, and a report without values says what was done.

pub mod arn;
pub mod bake;
mod blocking;
pub mod cli;
pub mod connection;
pub mod drift;
pub mod error;
pub mod image;
pub mod import;
pub mod manifest;
pub mod online;
pub mod org;
pub mod plan;
pub mod policy;
pub mod progress;
pub mod provider;
pub mod redact;
pub mod report;
pub mod resolve;
pub mod secret;
pub mod store;
pub mod time;
pub mod value;
pub mod yaml;
