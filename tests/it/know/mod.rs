//! What people ask before a deploy and afterwards, on real parts.

mod drift;
mod inspect;
