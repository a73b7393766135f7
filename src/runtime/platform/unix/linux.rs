//! What only Linux has: POSIX access control lists, `/proc`, memory that other processes cannot read, and inode flags.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use rustix::fs::{IFlags, XattrFlags};
use rustix::process::{DumpableBehavior, set_dumpable_behavior};

use crate::runtime::bounded;

pub const JOIN_GROUP: &str = "usermod -aG {group} USER";
pub const MAKE_GROUP: &str = "groupadd {group}";

/// The extended attributes with a file's list and with the default list that a directory gives to new files.
const ACCESS: &str = "system.posix_acl_access";
const DEFAULT: &str = "system.posix_acl_default";

const USER_OBJ: u16 = 0x01;
const GROUP_OBJ: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;
const NO_ID: u32 = u32::MAX;

/// Returns the list that grants `owner` to the owner, `group` to the owning group, `named` to another group and nothing to others.
/// Permissions are mode bits: 4 read, 2 write, 1 search.
fn list(owner: u16, group: u16, other_group: u32, named: u16) -> Vec<u8> {
    let entries = [
        (USER_OBJ, owner, NO_ID),
        (GROUP_OBJ, group, NO_ID),
        (GROUP, named, other_group),
        (MASK, group | named, NO_ID),
        (OTHER, 0, NO_ID),
    ];
    let mut bytes = 2u32.to_le_bytes().to_vec();
    for (tag, rights, id) in entries {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(rights.to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    bytes
}

/// Returns a file's list; `None` if it has none or the file system does not support lists.
fn read_list(path: &Path) -> Option<Vec<u8>> {
    let mut buffer = vec![0; 4096];
    let length = rustix::fs::getxattr(path, ACCESS, &mut buffer[..]).ok()?;
    buffer.truncate(length);
    Some(buffer)
}

fn write_list(path: &Path, kind: &str, list: &[u8]) -> io::Result<()> {
    Ok(rustix::fs::setxattr(path, kind, list, XattrFlags::empty())?)
}

/// Lets a second group read a directory and a file in it; the owning group reads and writes. New files in the directory get the same.
/// An error names the path.
pub fn grant_read_to_second_group<'a>(
    directory: &'a Path,
    file: &'a Path,
    group: u32,
) -> Result<(), (&'a Path, io::Error)> {
    let lists = [
        (file, ACCESS, list(6, 6, group, 4)),
        (directory, DEFAULT, list(6, 6, group, 4)),
        (directory, ACCESS, list(7, 7, group, 5)),
    ];
    lists.into_iter().try_for_each(|(path, kind, list)| write_list(path, kind, &list).map_err(|error| (path, error)))
}

/// Returns the groups that a file's list lets read; `None` if it has no list.
pub fn groups_in_list(path: &Path, owning: u32) -> Option<Vec<u32>> {
    let list = read_list(path).filter(|list| !list.is_empty())?;
    let entries = list.get(4..).unwrap_or_default().chunks_exact(8);
    let reading = entries.filter_map(|entry| {
        let (tag, rights) = (u16::from_le_bytes([entry[0], entry[1]]), u16::from_le_bytes([entry[2], entry[3]]));
        let id = u32::from_le_bytes([entry[4], entry[5], entry[6], entry[7]]);
        let id = if tag == GROUP_OBJ { owning } else { id };
        ([GROUP, GROUP_OBJ].contains(&tag) && rights & 4 != 0).then_some((tag != GROUP, id))
    });
    let mut groups: Vec<(bool, u32)> = reading.collect();
    groups.sort_unstable();
    Some(groups.into_iter().map(|(_, id)| id).collect())
}

/// Gives a new file the list of an old one.
pub fn copy_list(old: &Path, new: &Path) -> io::Result<()> {
    match read_list(old) {
        Some(list) => write_list(new, ACCESS, &list),
        // the old file has no list, but the directory gives new files one
        None if read_list(new).is_some() => Ok(rustix::fs::removexattr(new, ACCESS)?),
        None => Ok(()),
    }
}

/// Returns how to clear a flag that keeps even root from replacing a file's or directory's content; `None` if it has none.
pub fn change_flag_fix(path: &Path) -> Option<String> {
    let flags = rustix::fs::ioctl_getflags(File::open(path).ok()?).ok()?;
    flags.intersects(IFlags::IMMUTABLE | IFlags::APPEND).then(|| format!("chattr -ia {}", path.display()))
}

/// Keeps other processes of the user from reading this one's memory.
pub fn hide_memory() {
    // it only takes a right away, which is always allowed
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

/// Returns the mask of signals that this process was started to ignore; 0 if the system does not tell.
pub fn ignored_signals() -> u64 {
    let status = proc_file("self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
}

/// Returns a text that identifies where PIDs are unique: this boot of this machine, and the PID namespace. `None` without `/proc`.
pub fn pid_scope() -> Option<String> {
    let boot = proc_file("sys/kernel/random/boot_id")?;
    let namespace = fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{boot}{}", namespace.display()))
}

/// Returns when a process started, in clock ticks since boot; `None` if it is not running or `/proc` hides it.
pub fn start_time(process: u32) -> Option<String> {
    let stat = proc_file(&format!("{process}/stat"))?;
    // the program's name may contain spaces and parentheses, so count fields after it: the start time is field 22 of all
    stat.rsplit(')').next()?.split_whitespace().nth(19).map(str::to_owned)
}

fn proc_file(name: &str) -> Option<String> {
    let bytes = bounded::read_file(&Path::new("/proc").join(name), 64 * 1024).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
