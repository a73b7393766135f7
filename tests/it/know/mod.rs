//! What people ask before a deploy and afterwards, on real parts.

mod check;
mod contrib;
mod drift;
mod dry_run;
mod import;
mod inspect;
mod limits;
pub mod schema;
mod transports;
