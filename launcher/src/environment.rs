//! The merged environment: the inherited variables, then each baked variable that was not inherited.
//!
//! Owns the rule of precedence and the array of pointers for `execve`. Must not copy an entry; the caller provides the
//! memory.

use core::ffi::{CStr, c_char};
use core::ptr;

/// An environment under construction, with an index by name so that merging is linear.
#[derive(Debug)]
pub struct Environment<'a, 'm> {
    /// Open addressing by name: the entry that holds the name, or `None`. At least half are `None`.
    index: &'m mut [Option<&'a CStr>],
    /// The entries, then NULL to the end.
    pointers: &'m mut [*const c_char],
    length: usize,
}

/// Returns the number of index slots for `entries` entries, or `None` if it overflows.
pub fn index_length(entries: usize) -> Option<usize> {
    entries.checked_add(1)?.checked_mul(2)?.checked_next_power_of_two()
}

/// Returns the number of pointers for `entries` entries and the final NULL, or `None` if it overflows.
pub fn pointers_length(entries: usize) -> Option<usize> {
    entries.checked_add(1)
}

impl<'a, 'm> Environment<'a, 'm> {
    /// Starts empty, in memory of at least [`index_length`] and [`pointers_length`] for all entries to come.
    pub fn new(index: &'m mut [Option<&'a CStr>], pointers: &'m mut [*const c_char]) -> Self {
        index.fill(None);
        pointers.fill(ptr::null());
        Self { index, pointers, length: 0 }
    }

    /// Takes an inherited entry unchanged, even without `=` or with a duplicate name.
    pub fn inherit(&mut self, entry: &'a CStr) {
        self.claim(entry);
        self.push(entry);
    }

    /// Takes a baked entry unless its name is already set; an empty value counts as set.
    pub fn set_default(&mut self, entry: &'a CStr) {
        if self.claim(entry) {
            self.push(entry);
        }
    }

    /// Returns the value of `name`, as `getenv` would: the first one.
    pub fn value(&self, name: &[u8]) -> Option<&'a [u8]> {
        let (found, value) = split(self.index[self.slot(name)?]?);
        (found == name).then_some(value)?
    }

    /// Returns the array for `execve`: a pointer for each entry, then NULL.
    pub fn as_envp(&self) -> &[*const c_char] {
        &self.pointers[..=self.length]
    }

    /// Indexes the entry under its name; returns whether the name was new.
    fn claim(&mut self, entry: &'a CStr) -> bool {
        let Some(slot) = self.slot(split(entry).0) else {
            return false;
        };
        let is_new = self.index[slot].is_none();
        if is_new {
            self.index[slot] = Some(entry);
        }
        is_new
    }

    /// Returns the slot that holds `name`, or the free one where it belongs.
    fn slot(&self, name: &[u8]) -> Option<usize> {
        let mask = self.index.len().checked_sub(1)?;
        let first = hash(name);
        (0..self.index.len())
            .map(|step| first.wrapping_add(step) & mask)
            .find(|slot| self.index[*slot].is_none_or(|entry| split(entry).0 == name))
    }

    fn push(&mut self, entry: &'a CStr) {
        self.pointers[self.length] = entry.as_ptr();
        self.length += 1;
    }
}

/// Splits an entry at its first `=`; without one, the whole entry is the name.
pub(crate) fn split(entry: &CStr) -> (&[u8], Option<&[u8]>) {
    let bytes = entry.to_bytes();
    match bytes.iter().position(|byte| *byte == b'=') {
        Some(at) => (&bytes[..at], Some(&bytes[at + 1..])),
        None => (bytes, None),
    }
}

/// FNV-1a: the manifest's author and the container's choose the names and gain nothing from collisions.
fn hash(name: &[u8]) -> usize {
    let hash = name
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    (hash ^ (hash >> 32)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::ffi::CString;

    /// Merges and hands the result to `check`, with the entries `as_envp` points to.
    fn merge<'a, T>(
        inherited: &[&'a CStr],
        baked: &[&'a CStr],
        check: impl FnOnce(&Environment<'a, '_>, Vec<&'a CStr>) -> T,
    ) -> T {
        let count = inherited.len() + baked.len();
        let mut index = vec![None; index_length(count).unwrap()];
        let mut pointers = vec![ptr::null(); pointers_length(count).unwrap()];
        let mut environment = Environment::new(&mut index, &mut pointers);
        for entry in inherited {
            environment.inherit(entry);
        }
        for entry in baked {
            environment.set_default(entry);
        }
        let by_address: BTreeMap<*const c_char, &'a CStr> =
            inherited.iter().chain(baked).map(|entry| (entry.as_ptr(), *entry)).collect();
        let (last, entries) = environment.as_envp().split_last().unwrap();
        assert!(last.is_null());
        let entries = entries.iter().map(|pointer| by_address[pointer]).collect();
        check(&environment, entries)
    }

    fn merged<'a>(inherited: &[&'a CStr], baked: &[&'a CStr]) -> Vec<&'a CStr> {
        merge(inherited, baked, |_, entries| entries)
    }

    #[test]
    fn baked_variables_follow_the_inherited_ones() {
        assert_eq!(merged(&[c"A=1"], &[c"B=2", c"C="]), [c"A=1", c"B=2", c"C="]);
        assert_eq!(merged(&[], &[c"A=1"]), [c"A=1"]);
        assert_eq!(merged(&[c"A=1"], &[]), [c"A=1"]);
        assert!(merged(&[], &[]).is_empty());
    }

    #[test]
    fn an_inherited_variable_wins_even_if_empty() {
        assert_eq!(merged(&[c"A=run", c"B="], &[c"A=baked", c"B=baked"]), [c"A=run", c"B="]);
    }

    #[test]
    fn the_first_of_duplicates_in_the_file_wins() {
        assert_eq!(merged(&[], &[c"A=1", c"A=2", c"A="]), [c"A=1"]);
    }

    #[test]
    fn a_name_is_compared_whole() {
        assert_eq!(merged(&[c"AB=1", c"ABCD=1"], &[c"ABC=2", c"A=2"]), [c"AB=1", c"ABCD=1", c"ABC=2", c"A=2"]);
    }

    #[test]
    fn inherited_oddities_are_passed_on() {
        assert_eq!(
            merged(&[c"A=1", c"A=2", c"ODD", c"", c"=x"], &[c"A=3", c"ODD=1"]),
            [c"A=1", c"A=2", c"ODD", c"", c"=x"]
        );
    }

    #[test]
    fn the_value_is_the_first_one_after_merging() {
        merge(&[c"A=1", c"A=2", c"ODD"], &[c"B=x=y", c"C="], |environment, _| {
            assert_eq!(environment.value(b"A"), Some(&b"1"[..]));
            assert_eq!(environment.value(b"B"), Some(&b"x=y"[..]));
            assert_eq!(environment.value(b"C"), Some(&b""[..]));
            assert_eq!(environment.value(b"ODD"), None);
            assert_eq!(environment.value(b"D"), None);
        });
    }

    #[test]
    fn ten_thousand_variables_are_merged_in_linear_time() {
        let inherited: Vec<CString> = (0..1_000).map(|n| CString::new(format!("NAME_{n}=run")).unwrap()).collect();
        let baked: Vec<CString> = (0..10_000).map(|n| CString::new(format!("NAME_{n}=baked")).unwrap()).collect();
        let inherited: Vec<&CStr> = inherited.iter().map(|entry| &**entry).collect();
        let baked: Vec<&CStr> = baked.iter().map(|entry| &**entry).collect();
        let expected: Vec<&CStr> = inherited.iter().chain(&baked[1_000..]).copied().collect();
        assert_eq!(merged(&inherited, &baked), expected);
    }

    #[test]
    fn lengths_do_not_overflow() {
        assert_eq!(index_length(0), Some(2));
        assert_eq!(index_length(3), Some(8));
        assert_eq!(index_length(4), Some(16));
        assert_eq!(index_length(usize::MAX), None);
        assert_eq!(index_length(usize::MAX / 2), None);
        assert_eq!(pointers_length(usize::MAX), None);
    }

    #[test]
    fn names_are_spread_by_fnv_1a() {
        assert_eq!(hash(b""), 0xcbf2_9ce4_8422_2325 ^ 0xcbf2_9ce4);
        assert_eq!(hash(b"a"), 0xaf63_dc4c_8601_ec8c ^ 0xaf63_dc4c);
        assert_eq!(hash(b"foobar"), 0x8594_4171_f739_67e8 ^ 0x8594_4171);
    }
}
