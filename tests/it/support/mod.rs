//! What the tests share.

pub mod stub;
