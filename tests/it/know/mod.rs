//! What people ask before a deploy and afterwards, on real parts.

mod check;
mod drift;
mod dry_run;
mod inspect;
mod schema;
