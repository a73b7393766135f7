//! All integration tests, in one binary. They run the shipped program on real parts: see CONTRIBUTING.md.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "a test knows what it reads")]

mod architecture;
mod aws;
mod bake;
mod check;
mod command_provider;
mod completion;
mod contrib;
mod credential;
mod drift;
mod dry_run;
mod emulated;
mod engine;
mod env_from;
mod file_provider;
mod fleet;
mod foreign_words;
mod fuzz_corpus;
mod help;
mod import;
mod inspect;
mod inspect_anywhere;
mod leak;
mod manifest;
mod mishaps;
mod org;
mod policy;
mod process_isolation;
mod readme;
mod rebake;
mod round_trips;
mod same_secret;
mod schema;
mod seal;
mod secrets_list;
mod support;
mod template;
