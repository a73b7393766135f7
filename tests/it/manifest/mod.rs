//! What a manifest may say, and what a wrong one is answered.

mod fixtures;
mod limits;
