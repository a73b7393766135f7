//! Owns the pipelines of the commands, one short file each. They contain no rules of their own and print nothing.

pub mod bake;
mod contents;
pub mod credential_test;
pub mod drift;
pub mod import;
pub mod policy;
pub mod probe;
pub mod rebake;
pub mod report;
