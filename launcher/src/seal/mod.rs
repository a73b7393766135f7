//! What only the sealing launcher does: where its key comes from, the files it writes, and its failures.
//!
//! Owns these decisions as the rest of the library owns its own: without system calls, allocation or `unsafe`.

pub mod failure;
pub mod index;
pub mod key;
pub mod path;
pub mod state;
