//! The memory functions that the compiler calls implicitly and libc usually provides.
//!
//! Owns their names. Simple code is enough: the launcher only copies names and paths. Every access is volatile, or the
//! compiler could recognize a loop as one of these functions and replace it with a call to itself.

use core::ffi::{c_char, c_int, c_void};

/// Copies memory that does not overlap.
///
/// # Safety
///
/// That of C's `memcpy`: `count` bytes may be read at `from` and written at `to`, and they do not overlap.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut c_void, from: *const c_void, count: usize) -> *mut c_void {
    for at in 0..count {
        // SAFETY: `at` is below `count`.
        unsafe { copy_byte(to, from, at) };
    }
    to
}

/// Copies memory that may overlap.
///
/// # Safety
///
/// That of C's `memmove`: `count` bytes may be read at `from` and written at `to`.
#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut c_void, from: *const c_void, count: usize) -> *mut c_void {
    if to.addr() <= from.addr() {
        for at in 0..count {
            // SAFETY: `at` is below `count`; what is overwritten was read before.
            unsafe { copy_byte(to, from, at) };
        }
    } else {
        for at in (0..count).rev() {
            // SAFETY: `at` is below `count`; what is overwritten was read before.
            unsafe { copy_byte(to, from, at) };
        }
    }
    to
}

/// Sets each byte.
///
/// # Safety
///
/// That of C's `memset`: `count` bytes may be written at `to`.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut c_void, byte: c_int, count: usize) -> *mut c_void {
    for at in 0..count {
        // SAFETY: `at` is below `count`.
        let place = unsafe { to.cast::<u8>().add(at) };
        // SAFETY: it may be written, as the caller says.
        unsafe { place.write_volatile(byte as u8) };
    }
    to
}

/// Compares as unsigned bytes, in order.
///
/// # Safety
///
/// That of C's `memcmp`: `count` bytes may be read at both.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(left: *const c_void, right: *const c_void, count: usize) -> c_int {
    for at in 0..count {
        // SAFETY: `at` is below `count`.
        let left = unsafe { byte_at(left, at) };
        // SAFETY: `at` is below `count`.
        let right = unsafe { byte_at(right, at) };
        if left != right {
            return c_int::from(left) - c_int::from(right);
        }
    }
    0
}

/// Compares for equality.
///
/// # Safety
///
/// That of `memcmp`.
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(left: *const c_void, right: *const c_void, count: usize) -> c_int {
    // SAFETY: the caller's promise is the one asked for.
    unsafe { memcmp(left, right, count) }
}

/// Counts the bytes before the NUL.
///
/// # Safety
///
/// That of C's `strlen`: there is a NUL at or after `string`, and all bytes up to it may be read.
#[unsafe(no_mangle)]
unsafe extern "C" fn strlen(string: *const c_char) -> usize {
    let mut length = 0;
    // SAFETY: no byte before was the NUL, so there is one more.
    while unsafe { byte_at(string.cast(), length) } != 0 {
        length += 1;
    }
    length
}

/// Copies one byte.
///
/// # Safety
///
/// The byte at `at` may be read at `from` and written at `to`.
unsafe fn copy_byte(to: *mut c_void, from: *const c_void, at: usize) {
    // SAFETY: the caller's promise is the one asked for.
    let byte = unsafe { byte_at(from, at) };
    // SAFETY: the byte is there, as the caller says.
    let place = unsafe { to.cast::<u8>().add(at) };
    // SAFETY: it may be written, as the caller says.
    unsafe { place.write_volatile(byte) };
}

/// Reads one byte.
///
/// # Safety
///
/// The byte at `at` may be read at `from`.
unsafe fn byte_at(from: *const c_void, at: usize) -> u8 {
    // SAFETY: the byte is there, as the caller says.
    let place = unsafe { from.cast::<u8>().add(at) };
    // SAFETY: it may be read, as the caller says.
    unsafe { place.read_volatile() }
}
