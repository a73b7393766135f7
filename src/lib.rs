//! Bakes secret values into a new layer of a deployment's image.
//!
//! Data flows one way: manifest and org make a plan, providers resolve it, the values become a layer, the layer is
//! appended to the base, a store takes the image, and a report without values says what was done.
//!
//! The library exists for the binary and the tests: its API may change in any release.

#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "a test knows what it reads"))]

pub mod cli;
pub mod diagnostic;
pub mod image;
pub mod manifest;
pub mod ops;
pub mod org;
pub mod plan;
pub mod runtime;
pub mod secret;
pub mod secrets;
pub mod store;
