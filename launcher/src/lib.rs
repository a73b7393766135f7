//! The launcher's logic in safe functions on byte slices: parsing the env file, merging the environment, the search along
//! `PATH`, and the text of `--check` and of every failure.
//!
//! Owns every decision. Must not make system calls, allocate, or contain `unsafe` code: that is left to the binary.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

pub mod baked;
pub mod check;
pub mod environment;
pub mod failure;
pub mod line;
#[cfg(feature = "seal")]
pub mod seal;
pub mod search;
