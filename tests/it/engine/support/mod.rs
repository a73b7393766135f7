//! Owns what the integration tests share.

pub mod base;
pub mod engine;
pub mod image;
pub mod proxy;
