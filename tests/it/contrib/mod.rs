//! The files that teams copy: contrib/ and the Dockerfile.

mod ci;
mod cluster;
