//! The entry point the kernel jumps to, and what the kernel left on the stack.
//!
//! Owns the assembly of `_start` and reads the initial stack. Must not run anything else before `launch`: this program
//! has no constructors, no thread-local storage and no relocations.

use core::ffi::{CStr, c_char};
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
        Self { argv: arguments, envp: environment }
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

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    crate::sys::write_error(
        b"secretbake launcher: internal error\nhint: report it with the image's name and `secretbake --version`\n",
    );
    crate::sys::exit(125)
}
