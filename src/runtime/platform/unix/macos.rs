//! What macOS has instead of what only Linux has. It has no POSIX access control lists, so only one group can share a directory, and
//! no `/proc`, so a run that was killed counts as ended after an hour. It keeps the memory of a program from other programs of the
//! user, unless they are debuggers.

use std::fs;
use std::io;
use std::os::darwin::fs::MetadataExt as _;
use std::path::Path;

pub const JOIN_GROUP: &str = "dseditgroup -o edit -a USER -t user {group}";
pub const MAKE_GROUP: &str = "dseditgroup -o create {group}";

/// The flags of a file that cannot be changed: `UF_IMMUTABLE`, `UF_APPEND`, `SF_IMMUTABLE` and `SF_APPEND` of `sys/stat.h`.
const UNCHANGEABLE: u32 = 0x0002 | 0x0004 | 0x0002_0000 | 0x0004_0000;

/// Fails: there are no lists.
pub fn grant_read_to_second_group<'a>(_: &'a Path, file: &'a Path, _: u32) -> Result<(), (&'a Path, io::Error)> {
    Err((file, io::ErrorKind::Unsupported.into()))
}

/// Returns `None`: there are no lists.
pub fn groups_in_list(_: &Path, _: u32) -> Option<Vec<u32>> {
    None
}

/// Does nothing: there are no lists.
#[expect(clippy::unnecessary_wraps, reason = "Linux can fail")]
pub fn copy_list(_: &Path, _: &Path) -> io::Result<()> {
    Ok(())
}

/// Returns how to clear a flag that keeps even root from replacing a file's or directory's content; `None` if it has none.
pub fn change_flag_fix(path: &Path) -> Option<String> {
    let flags = fs::metadata(path).ok()?.st_flags();
    (flags & UNCHANGEABLE != 0).then(|| format!("chflags nouchg,nouappnd,noschg,nosappnd {}", path.display()))
}

/// Does nothing.
pub fn hide_memory() {}

/// Returns 0: the system does not tell which signals this process was started to ignore.
pub fn ignored_signals() -> u64 {
    0
}

/// Returns `None`: nothing identifies where PIDs are unique.
pub fn pid_scope() -> Option<String> {
    None
}

/// Returns `None`: the system does not tell when a process started.
pub fn start_time(_: u32) -> Option<String> {
    None
}
