//! All integration tests, in one binary. They run the shipped program on real parts: see CONTRIBUTING.md.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod architecture;
mod aws;
mod bake;
mod connection;
mod credential;
mod engine;
mod file_provider;
mod fixtures;
mod form;
mod help;
mod know;
mod leak;
mod org_edit;
mod org_file;
mod pipelines;
mod policy;
mod process;
mod readme;
mod rights;
mod secrets;
mod support;
