//! The entry point the kernel jumps to, and what the kernel left on the stack.
//!
//! Owns the assembly of `_start` and reads the initial stack. Must not run anything else before `launch`: this program
//! has no constructors, no thread-local storage and no relocations.

use core::ffi::{CStr, c_char};
#[cfg(feature = "seal")]
use core::ptr;
use core::slice;

/// The kernel starts here. Aligns the stack for the ABI and passes on the address of the arguments.
#[unsafe(naked)]
#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    // A zero frame pointer marks the outermost frame. At a call, the stack must be aligned to 16 bytes.
    #[cfg(target_arch = "x86_64")]
    core::arch::naked_asm!(
        "xor ebp, ebp",
        "mov rdi, rsp",
        "and rsp, -16",
        "call {begin}",
        "ud2",
        begin = sym begin,
    );
    #[cfg(target_arch = "aarch64")]
    core::arch::naked_asm!(
        "mov x29, xzr",
        "mov x30, xzr",
        "mov x0, sp",
        "and x1, x0, #-16",
        "mov sp, x1",
        "b {begin}",
        begin = sym begin,
    );
}

/// Starts with the stack pointer that the kernel set.
///
/// # Safety
///
/// `stack` is the initial stack pointer of a process.
unsafe extern "C" fn begin(stack: *const usize) -> ! {
    // SAFETY: the caller's promise is the one asked for.
    crate::launch(unsafe { Inherited::from_stack(stack) })
}

/// The arguments and environment from the kernel: arrays of pointers to strings, each array ended by NULL.
#[derive(Clone, Copy)]
pub struct Inherited {
    /// With its final NULL.
    argv: &'static [*const c_char],
    /// Without its final NULL.
    envp: &'static [*const c_char],
    /// Whether the launcher writes no sealed file.
    #[cfg(feature = "seal")]
    is_env_only: bool,
}

impl Inherited {
    /// Reads the initial stack.
    ///
    /// # Safety
    ///
    /// `stack` is the initial stack pointer of a process: the count of arguments, that many pointers, NULL, the
    /// pointers of the environment, NULL. Nobody writes there.
    unsafe fn from_stack(stack: *const usize) -> Self {
        // SAFETY: the count is the first word there.
        let count = unsafe { stack.read() };
        // SAFETY: the pointers follow it.
        let argv = unsafe { stack.add(1) }.cast::<*const c_char>();
        // SAFETY: `count` pointers and NULL are there as long as the process lasts.
        let arguments = unsafe { slice::from_raw_parts(argv, count + 1) };
        // SAFETY: the environment follows the NULL.
        let envp = unsafe { argv.add(count + 1) };
        let mut length = 0;
        loop {
            // SAFETY: every pointer before was not NULL, so there is one more.
            let entry = unsafe { envp.add(length) };
            // SAFETY: it is there, as said.
            if unsafe { entry.read() }.is_null() {
                break;
            }
            length += 1;
        }
        // SAFETY: that many pointers are there as long as the process lasts.
        let environment = unsafe { slice::from_raw_parts(envp, length) };
        Self {
            argv: arguments,
            envp: environment,
            #[cfg(feature = "seal")]
            is_env_only: false,
        }
    }

    /// Returns the command, if there is one: the first argument after the launcher's own name.
    pub fn command(self) -> Option<&'static CStr> {
        let first = *self.argv.get(1)?;
        // SAFETY: each pointer of `argv` but the final NULL is to a string that ends in NUL and lasts.
        (!first.is_null()).then(|| unsafe { CStr::from_ptr(first) })
    }

    /// Tells whether the command has no arguments.
    pub fn is_alone(self) -> bool {
        // the launcher's name, the command, NULL
        self.argv.len() == 3
    }

    /// Returns the command and its arguments, with the final NULL.
    pub fn command_argv(self) -> &'static [*const c_char] {
        self.argv.get(1..).unwrap_or_default()
    }

    /// Returns the inherited entries.
    pub fn environment(self) -> impl Iterator<Item = &'static CStr> {
        // SAFETY: each pointer of `envp` is to a string that ends in NUL and lasts.
        self.envp.iter().map(|entry| unsafe { CStr::from_ptr(*entry) })
    }
}

#[cfg(feature = "seal")]
impl Inherited {
    /// Returns it without its first argument, the flag that the sealed files are not written.
    pub fn env_only(self) -> Self {
        Self { argv: self.command_argv(), is_env_only: true, ..self }
    }

    /// Tells whether the sealed files are not written.
    pub fn is_env_only(self) -> bool {
        self.is_env_only
    }

    /// Returns it without the entries of this name, whose values it overwrites; `None` if there is no memory.
    ///
    /// # Safety
    ///
    /// No reference to such an entry is used afterwards.
    pub unsafe fn without(self, name: &[u8]) -> Option<Self> {
        // one more, since the kernel gives no memory for none
        let entries = crate::sys::allocate(self.envp.len() + 1, ptr::null())?;
        let mut count = 0;
        for (pointer, entry) in self.envp.iter().zip(self.environment()) {
            if entry.to_bytes().strip_prefix(name).is_some_and(|value| value.starts_with(b"=")) {
                // SAFETY: nothing uses the entry any more, as the caller says.
                unsafe { wipe(*pointer) };
            } else {
                entries[count] = *pointer;
                count += 1;
            }
        }
        Some(Self { envp: entries.get(..count)?, ..self })
    }
}

/// Overwrites a string.
///
/// # Safety
///
/// It ends in NUL, it may be written, and no reference to it is used afterwards.
#[cfg(feature = "seal")]
unsafe fn wipe(string: *const c_char) {
    let mut place = string.cast_mut();
    // SAFETY: no byte before was the NUL, so there is one more.
    while unsafe { place.read_volatile() } != 0 {
        // SAFETY: it may be written, as the caller says.
        unsafe { place.write_volatile(0) };
        // SAFETY: the byte was not the NUL, so there is one more.
        place = unsafe { place.add(1) };
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    crate::sys::write_error(
        b"secretbake launcher: internal error\nhint: report it with the image's name and `secretbake --version`\n",
    );
    crate::sys::exit(125)
}
