//! The files that teams copy: contrib/ and the Dockerfile.

mod action;
mod ci;
mod cluster;
mod rotation;
