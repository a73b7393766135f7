//! All system calls of the launcher.
//!
//! Owns the interface to the kernel and converts results to safe types. Must not decide anything.
//!
//! `execve` and `exit_group` are issued here: rustix has them only in its `runtime` module, whose public name ends in a
//! random string that changes from release to release because only libc implementations are meant to use it.

use core::arch::asm;
use core::ffi::{CStr, c_char};
use core::{ptr, slice};
use rustix::fd::BorrowedFd;
use rustix::fs::{Access, FileType, Mode, OFlags};
use rustix::io::Errno;
#[cfg(feature = "seal")]
use rustix::mm::MprotectFlags;
use rustix::mm::{MapFlags, ProtFlags};
use secretbake_launcher::search::Probe;

/// Maps a file for reading, without copying its content.
pub fn map_file(path: &CStr) -> Result<&'static [u8], Errno> {
    // Without NONBLOCK, a FIFO at this path would hang the container silently.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
    let file = rustix::fs::open(path, flags, Mode::empty())?;
    let stat = rustix::fs::fstat(&file)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => {}
        FileType::Directory => return Err(Errno::ISDIR),
        _ => return Err(Errno::INVAL),
    }
    let length = usize::try_from(stat.st_size).map_err(|_| Errno::NOMEM)?;
    if length == 0 {
        return Ok(&[]);
    }
    // SAFETY: the kernel chooses the address, so no memory in use is replaced.
    let start = unsafe { rustix::mm::mmap(ptr::null_mut(), length, ProtFlags::READ, MapFlags::PRIVATE, &file, 0) }?;
    // SAFETY: `length` bytes are mapped there and never unmapped. The file belongs to the image, which nothing changes
    // in the moment before the exec. Only its owner could, from inside this very container: that ends this process by
    // SIGBUS or gives its command another environment, which the owner may do anyway.
    Ok(unsafe { slice::from_raw_parts(start.cast::<u8>(), length) })
}

/// Maps a file to memory of this process alone: to write there does not change the file.
#[cfg(feature = "seal")]
pub fn map_private(path: &CStr) -> Result<&'static mut [u8], Errno> {
    let bytes = map_file(path)?;
    if bytes.is_empty() {
        return Ok(&mut []);
    }
    let start = ptr::with_exposed_provenance_mut::<u8>(bytes.as_ptr().expose_provenance());
    // SAFETY: the memory was just mapped, and nothing else refers to it.
    unsafe { rustix::mm::mprotect(start.cast(), bytes.len(), MprotectFlags::READ | MprotectFlags::WRITE) }?;
    // SAFETY: it may be written now, `bytes` is not used any more, and of the file the same holds as above.
    Ok(unsafe { slice::from_raw_parts_mut(start, bytes.len()) })
}

/// Returns `length` values of new memory that lasts as long as the process, or `None` if there is none.
pub fn allocate<T: Copy>(length: usize, value: T) -> Option<&'static mut [T]> {
    let size = length.checked_mul(size_of::<T>())?;
    let (access, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
    // SAFETY: the kernel chooses the address, so no memory in use is replaced.
    let start = unsafe { rustix::mm::mmap_anonymous(ptr::null_mut(), size, access, flags) }.ok()?;
    let start = start.cast::<T>();
    for at in 0..length {
        // SAFETY: `at` is within the `length` values mapped.
        let place = unsafe { start.add(at) };
        // SAFETY: it may be written, and a page's start is aligned for any `T`.
        unsafe { place.write(value) };
    }
    // SAFETY: `length` values were just written there, in memory nothing else refers to.
    Some(unsafe { slice::from_raw_parts_mut(start, length) })
}

/// Returns what is at a candidate's path.
pub fn probe(path: &CStr) -> Probe {
    match rustix::fs::stat(path) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => Probe::Absent,
        Ok(_) if rustix::fs::access(path, Access::EXEC_OK).is_ok() => Probe::Executable,
        Ok(_) | Err(Errno::ACCESS) => Probe::Denied,
        Err(_) => Probe::Absent,
    }
}

/// Tells whether anything exists at `path`.
pub fn exists(path: &CStr) -> bool {
    rustix::fs::stat(path).is_ok()
}

/// Tells whether `path` is a directory.
pub fn is_directory(path: &CStr) -> bool {
    rustix::fs::stat(path).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
}

/// Writes to standard output, as much as it accepts.
pub fn write_output(text: &[u8]) {
    // SAFETY: nothing is done with the descriptor but writing; if it is closed, the kernel says so.
    write(unsafe { rustix::stdio::stdout() }, text);
}

/// Writes to standard error, as much as it accepts.
pub fn write_error(text: &[u8]) {
    // SAFETY: nothing is done with the descriptor but writing; if it is closed, the kernel says so.
    write(unsafe { rustix::stdio::stderr() }, text);
}

fn write(stream: BorrowedFd<'_>, mut text: &[u8]) {
    while !text.is_empty() {
        match rustix::io::write(stream, text) {
            Ok(0) => return,
            Ok(written) => text = text.get(written..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(_) => return,
        }
    }
}

/// Replaces the program of this process; returns only on failure.
///
/// # Safety
///
/// `argv` and `envp` end in NULL, and each pointer before it is to a string that ends in NUL.
pub unsafe fn execve(path: &CStr, argv: &[*const c_char], envp: &[*const c_char]) -> Errno {
    let answer: isize;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the kernel only reads what the arguments point to; `syscall` clobbers `rcx` and `r11`.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") 59_isize => answer,
            in("rdi") path.as_ptr(),
            in("rsi") argv.as_ptr(),
            in("rdx") envp.as_ptr(),
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack, readonly),
        );
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: the kernel only reads what the arguments point to, and clobbers `x0` only.
    unsafe {
        asm!(
            "svc 0",
            in("x8") 221_usize,
            inlateout("x0") path.as_ptr() => answer,
            in("x1") argv.as_ptr(),
            in("x2") envp.as_ptr(),
            options(nostack, readonly),
        );
    }
    // The kernel answers with a negated error number, below 4096.
    Errno::from_raw_os_error(answer.unsigned_abs() as i32)
}

/// Ends the process.
pub fn exit(status: u8) -> ! {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the call does not return, and no memory is passed.
    unsafe {
        asm!("syscall", "ud2", in("rax") 231_usize, in("rdi") usize::from(status), options(noreturn, nostack));
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: the call does not return, and no memory is passed.
    unsafe {
        asm!("svc 0", "brk 1", in("x8") 94_usize, in("x0") usize::from(status), options(noreturn, nostack));
    }
}
