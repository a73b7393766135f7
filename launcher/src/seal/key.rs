//! Where the age identity comes from.
//!
//! Owns the order of the sources. Must not read one, or show what is in it.

use core::ffi::CStr;

/// The variable that holds identities. The command must not inherit it.
pub const VARIABLE: &[u8] = b"SECRETBAKE_KEY";

/// The variable that names the file with identities.
pub const FILE_VARIABLE: &[u8] = b"SECRETBAKE_KEY_FILE";

/// The file with identities if neither variable is set: where Docker, Compose, Swarm and Podman put a secret of that name.
pub const DEFAULT_FILE: &CStr = c"/run/secrets/secretbake-key";

/// Where identities are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeySource<'a> {
    /// In [`VARIABLE`], with its value.
    Variable(&'a [u8]),
    /// In the file that [`FILE_VARIABLE`] names.
    File(&'a CStr),
    /// In [`DEFAULT_FILE`].
    DefaultFile,
}

impl<'a> KeySource<'a> {
    /// Chooses by the environment. Of several entries with one name, the first counts, as for `getenv`.
    pub fn choose(environment: impl Iterator<Item = &'a CStr>) -> Self {
        let mut file = None;
        for entry in environment {
            if let Some(identities) = value(entry, VARIABLE) {
                return Self::Variable(identities.to_bytes());
            }
            file = file.or_else(|| value(entry, FILE_VARIABLE));
        }
        file.map_or(Self::DefaultFile, Self::File)
    }

    /// Returns the variable or path to show.
    pub fn name(self) -> &'a [u8] {
        match self {
            Self::Variable(_) => VARIABLE,
            Self::File(path) => path.to_bytes(),
            Self::DefaultFile => DEFAULT_FILE.to_bytes(),
        }
    }
}

/// Returns the value if `entry` sets `name`.
fn value<'a>(entry: &'a CStr, name: &[u8]) -> Option<&'a CStr> {
    let value = entry.to_bytes_with_nul().strip_prefix(name)?.strip_prefix(b"=")?;
    CStr::from_bytes_with_nul(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_comes_before_the_file_and_the_file_before_its_default() {
        let key = c"SECRETBAKE_KEY=k";
        let file = c"SECRETBAKE_KEY_FILE=/key";
        let chosen = |entries: &[&'static CStr]| KeySource::choose(entries.iter().copied());
        assert_eq!(chosen(&[c"A=1", file, key]), KeySource::Variable(b"k"));
        assert_eq!(chosen(&[file, c"SECRETBAKE_KEY_FILE=/other"]), KeySource::File(c"/key"));
        assert_eq!(chosen(&[c"SECRETBAKE_KEYS=k", c"SECRETBAKE_KEY"]), KeySource::DefaultFile);
        // set and empty is a mistake to report, not a reason to look elsewhere
        assert_eq!(chosen(&[file, c"SECRETBAKE_KEY="]), KeySource::Variable(b""));
    }
}
