//! What the sealing launcher does instead of reading the env file: it finds the container's key and opens the file with it.
//!
//! Owns the order of these events, and that the command does not inherit the key. Must not write anything before all that is
//! sealed was opened.

use crate::start::Inherited;
use crate::{files, inherit, run, sys};
use core::ffi::CStr;
use rustix::io::Errno;
use secretbake_launcher::baked::{self, Baked};
use secretbake_launcher::check;
use secretbake_launcher::environment::Environment;
use secretbake_launcher::failure::Failure;
use secretbake_launcher::seal::failure::SealFailure;
use secretbake_launcher::seal::key::{self, KeySource};
use secretbake_launcher::seal::state;
use secretbake_unseal::Identities;

/// The first argument that keeps the launcher from writing the sealed files: for a health check.
pub const ENV_ONLY: &CStr = c"--env-only";

/// The identities, and where they were found.
pub struct Key {
    source: KeySource<'static>,
    identities: Identities<'static>,
}

/// Executes the command after [`ENV_ONLY`]; returns only on failure.
pub fn run_without_files(inherited: Inherited) -> Failure<'static> {
    let inherited = inherited.env_only();
    inherited.command().map_or(Failure::NoCommand, |command| run(command, inherited))
}

/// Prints which key opens the image, and a line for each variable and each file.
pub fn print_states(inherited: Inherited) -> Result<(), Failure<'static>> {
    let key = Key::find(inherited)?;
    let baked = key.read_env()?;
    sys::write_output(state::describe_key(key.source).as_bytes());
    let environment = inherit(inherited, 0)?;
    if baked.count() == 0 {
        sys::write_output(check::NO_VARIABLES.as_bytes());
    }
    baked.entries().for_each(|entry| sys::write_output(check::describe(entry, &environment).as_bytes()));
    let opened = files::open(&key)?;
    opened.iter().for_each(|opened| sys::write_output(state::describe(&opened.file, opened.state()).as_bytes()));
    Ok(())
}

/// Opens the env file and merges it into the inherited environment, without the key. Writes the sealed files.
pub fn merge(inherited: Inherited) -> Result<Environment<'static, 'static>, Failure<'static>> {
    let key = Key::find(inherited)?;
    let baked = key.read_env()?;
    let opened = if inherited.is_env_only() { &[] } else { files::open(&key)? };
    opened.iter().try_for_each(|opened| opened.write())?;
    // SAFETY: `key`, which refers to its entry, is not used any more.
    let inherited = unsafe { inherited.without(key::VARIABLE) }.ok_or(Failure::OutOfMemory)?;
    let mut environment = inherit(inherited, baked.count())?;
    baked.entries().for_each(|entry| environment.set_default(entry));
    Ok(environment)
}

impl Key {
    /// Finds the identities and checks all of them.
    fn find(inherited: Inherited) -> Result<Self, Failure<'static>> {
        let source = KeySource::choose(inherited.environment());
        let text = match source {
            KeySource::Variable(value) => Ok(value),
            KeySource::File(path) => sys::map_file(path),
            KeySource::DefaultFile => sys::map_file(key::DEFAULT_FILE),
        };
        let text = text.map_err(|errno| match (source, errno) {
            (KeySource::DefaultFile, Errno::NOENT | Errno::NOTDIR) => Failure::Sealed(SealFailure::NoKey),
            _ => Failure::Sealed(SealFailure::KeyUnreadable(source, errno)),
        })?;
        let malformed = |error| Failure::Sealed(SealFailure::KeyMalformed(source, error));
        Ok(Self { source, identities: Identities::parse(text).map_err(malformed)? })
    }

    /// Opens the env file.
    fn read_env(&self) -> Result<Baked<'static>, Failure<'static>> {
        let sealed = sys::map_private(baked::PATH).map_err(|errno| match errno {
            Errno::NOENT | Errno::NOTDIR => Failure::EnvMissing,
            Errno::NOMEM => Failure::OutOfMemory,
            errno => Failure::EnvUnreadable(errno),
        })?;
        Baked::parse(self.open(baked::PATH, sealed)?).map_err(Failure::EnvMalformed)
    }

    /// Opens what is sealed in place; `path` says what it is.
    pub fn open(&self, path: &'static CStr, sealed: &'static mut [u8]) -> Result<&'static [u8], Failure<'static>> {
        let opened = secretbake_unseal::open(sealed, &self.identities);
        let not_opened = |error| Failure::Sealed(SealFailure::NotOpened(path.to_bytes(), self.source, error));
        opened.map(|plain| &*plain).map_err(not_opened)
    }
}
