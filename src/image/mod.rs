//! Owns the nouns of images (digest, descriptor, config, layer, manifest) and what a bake makes of them.
//!
//! It is pure: bytes in, bytes out. Media (`store`) import it; it imports none of them.

pub mod name;
