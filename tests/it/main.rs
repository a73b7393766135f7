//! The integration tests: one binary, so that they are linked once.

mod aws;
mod file_provider;
mod org_file;
mod support;
