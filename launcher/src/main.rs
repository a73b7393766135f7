//! The launcher: `/.secretbake/launch COMMAND [ARGUMENT…]` sets each variable of `/.secretbake/env` that is not already
//! set, then executes COMMAND. `/.secretbake/launch --check` prints the names of these variables instead. With the feature `seal` it
//! is the sealing launcher: `sealed` reads the env file then.
//!
//! Owns the order of events. It must not change anything else of the process: signal masks and dispositions,
//! descriptors, limits, working directory. The library decides; `sys` makes the system calls.
#![no_std]
#![no_main]

#[cfg(feature = "seal")]
mod files;
mod mem;
#[cfg(feature = "seal")]
mod sealed;
mod start;
mod sys;

use core::ffi::CStr;
use core::ptr;
use rustix::io::Errno;
#[cfg(feature = "seal")]
use sealed::{merge, print_states};
#[cfg(not(feature = "seal"))]
use secretbake_launcher::baked::{self, Baked};
use secretbake_launcher::check;
use secretbake_launcher::environment::{Environment, index_length, pointers_length};
use secretbake_launcher::failure::{Failure, Obstacle};
use secretbake_launcher::search::{self, Candidate, NoMatch};
use start::Inherited;

/// Executes the command, or reports why not.
fn launch(inherited: Inherited) -> ! {
    let failure = match inherited.command() {
        Some(command) if command == check::FLAG && inherited.is_alone() => match print_states(inherited) {
            Ok(()) => sys::exit(0),
            Err(failure) => failure,
        },
        #[cfg(feature = "seal")]
        Some(command) if command == sealed::ENV_ONLY => sealed::run_without_files(inherited),
        Some(command) => run(command, inherited),
        None => Failure::NoCommand,
    };
    sys::write_error(failure.text().as_bytes());
    sys::exit(failure.status())
}

/// Prints a line for each baked variable.
#[cfg(not(feature = "seal"))]
fn print_states(inherited: Inherited) -> Result<(), Failure<'static>> {
    let baked = read()?;
    let environment = inherit(inherited, 0)?;
    if baked.count() == 0 {
        sys::write_output(check::NO_VARIABLES.as_bytes());
    }
    baked.entries().for_each(|entry| sys::write_output(check::describe(entry, &environment).as_bytes()));
    Ok(())
}

/// Executes `command`; returns only on failure.
fn run(command: &'static CStr, inherited: Inherited) -> Failure<'static> {
    let environment = match merge(inherited) {
        Ok(environment) => environment,
        Err(failure) => return failure,
    };
    let mut candidate = Candidate::new();
    let path = if search::is_path(command) {
        command
    } else {
        let directories = environment.value(b"PATH");
        match search::search(command, directories, &mut candidate, sys::probe) {
            Ok(()) => candidate.as_c_str(),
            Err(no_match) => return not_found(command.to_bytes(), no_match),
        }
    };
    // SAFETY: both arrays end in NULL, and their pointers are to strings that end in NUL, on the initial stack or in
    // the mapping of the env file, which last as long as the process.
    let errno = unsafe { sys::execve(path, inherited.command_argv(), environment.as_envp()) };
    refused(command.to_bytes(), path, errno)
}

/// Reads the env file and merges it into the inherited environment.
#[cfg(not(feature = "seal"))]
fn merge(inherited: Inherited) -> Result<Environment<'static, 'static>, Failure<'static>> {
    let baked = read()?;
    let mut environment = inherit(inherited, baked.count())?;
    baked.entries().for_each(|entry| environment.set_default(entry));
    Ok(environment)
}

/// Reads the env file.
#[cfg(not(feature = "seal"))]
fn read() -> Result<Baked<'static>, Failure<'static>> {
    let bytes = sys::map_file(baked::PATH).map_err(|errno| match errno {
        Errno::NOENT | Errno::NOTDIR => Failure::EnvMissing,
        Errno::NOMEM => Failure::OutOfMemory,
        errno => Failure::EnvUnreadable(errno),
    })?;
    Baked::parse(bytes).map_err(Failure::EnvMalformed)
}

/// Returns the inherited environment, with room for `more` entries.
fn inherit(inherited: Inherited, more: usize) -> Result<Environment<'static, 'static>, Failure<'static>> {
    let count = inherited.environment().count().saturating_add(more);
    let index = index_length(count).and_then(|length| sys::allocate(length, None));
    let pointers = pointers_length(count).and_then(|length| sys::allocate(length, ptr::null()));
    let (Some(index), Some(pointers)) = (index, pointers) else {
        return Err(Failure::OutOfMemory);
    };
    let mut environment = Environment::new(index, pointers);
    inherited.environment().for_each(|entry| environment.inherit(entry));
    Ok(environment)
}

/// Returns why the search found nothing.
fn not_found(command: &[u8], no_match: NoMatch) -> Failure<'_> {
    match no_match {
        NoMatch::NotFound => Failure::NotInPath(command),
        NoMatch::Denied => Failure::CannotExecute(command, Obstacle::Permission),
        NoMatch::Relative => Failure::CannotExecute(command, Obstacle::Relative),
    }
}

/// Returns why the kernel did not execute `path`, where `command` was found.
fn refused<'a>(command: &'a [u8], path: &CStr, errno: Errno) -> Failure<'a> {
    let obstacle = match errno {
        Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG if !sys::exists(path) => {
            return Failure::NoSuchFile(command);
        }
        Errno::NOMEM => return Failure::OutOfMemory,
        Errno::NOENT | Errno::NOTDIR => Obstacle::Interpreter,
        Errno::ACCESS if sys::is_directory(path) => Obstacle::Directory,
        Errno::ACCESS => Obstacle::Permission,
        Errno::NOEXEC => Obstacle::Format,
        Errno::TOOBIG => Obstacle::TooLong,
        errno => Obstacle::Other(errno),
    };
    Failure::CannotExecute(command, obstacle)
}
