//! The files that are shipped: small, static, nothing to relocate, nothing both writable and executable.

use crate::shipped::{launcher, sealing_launcher};
use std::path::Path;

const ET_EXEC: u16 = 2;
const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
pub const PT_INTERP: u32 = 3;
const PT_TLS: u32 = 7;
const PT_GNU_STACK: u32 = 0x6474_e551;
const PF_X: u32 = 1;
const PF_W: u32 = 2;
/// `SHT_RELA`, `SHT_DYNAMIC`, `SHT_REL`, `SHT_RELR`.
const SECTIONS_TO_RELOCATE: [u32; 4] = [4, 6, 9, 19];

/// The little of a 64-bit little-endian ELF file that the tests look at.
pub struct Elf {
    bytes: Vec<u8>,
    pub segments: Vec<Segment>,
    sections: Vec<u32>,
}

/// A program header.
#[derive(Debug)]
pub struct Segment {
    pub kind: u32,
    flags: u32,
}

impl Elf {
    pub fn read(path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap();
        assert_eq!(&bytes[..6], b"\x7fELF\x02\x01", "{path:?}");
        let table = |start: usize, size: usize, count: usize| {
            let (start, size, count) =
                (number::<8>(&bytes, start), number::<2>(&bytes, size), number::<2>(&bytes, count));
            (0..count).map(move |at| start + at * size)
        };
        let segments = table(0x20, 0x36, 0x38)
            .map(|at| Segment { kind: number::<4>(&bytes, at) as u32, flags: number::<4>(&bytes, at + 4) as u32 })
            .collect();
        let sections = table(0x28, 0x3a, 0x3c).map(|at| number::<4>(&bytes, at + 4) as u32).collect();
        Self { segments, sections, bytes }
    }

    fn has(&self, kind: u32) -> bool {
        self.segments.iter().any(|segment| segment.kind == kind)
    }
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> usize {
    bytes[at..at + N].iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte))
}

fn shipped() -> [Elf; 2] {
    [launcher(), sealing_launcher()].map(|path| Elf::read(&path))
}

#[test]
fn they_are_small() {
    let [plain, sealing] = shipped().map(|elf| elf.bytes.len());
    assert!(plain <= 16 * 1024, "{plain} bytes");
    assert!(sealing <= 64 * 1024, "{sealing} bytes");
}

#[test]
fn they_need_no_interpreter_and_no_relocation() {
    shipped().iter().for_each(needs_no_interpreter_and_no_relocation);
}

fn needs_no_interpreter_and_no_relocation(elf: &Elf) {
    assert_eq!(number::<2>(&elf.bytes, 0x10), usize::from(ET_EXEC));
    for kind in [PT_INTERP, PT_DYNAMIC, PT_TLS] {
        assert!(!elf.has(kind), "{:?}", elf.segments);
    }
    assert!(elf.sections.iter().all(|kind| !SECTIONS_TO_RELOCATE.contains(kind)), "{:?}", elf.sections);
}

#[test]
fn nothing_is_writable_and_executable() {
    shipped().iter().for_each(has_nothing_writable_and_executable);
}

fn has_nothing_writable_and_executable(elf: &Elf) {
    assert!(elf.has(PT_LOAD));
    let stack = elf.segments.iter().find(|segment| segment.kind == PT_GNU_STACK);
    assert_eq!(stack.map(|segment| segment.flags & PF_X), Some(0));
    for segment in &elf.segments {
        assert_ne!(segment.flags & (PF_W | PF_X), PF_W | PF_X, "{segment:?}");
    }
}

#[test]
fn they_name_no_directory_of_the_machine_that_built_them() {
    shipped().iter().for_each(names_no_directory_of_the_machine_that_built_it);
}

fn names_no_directory_of_the_machine_that_built_it(elf: &Elf) {
    let home = std::env::var("HOME").unwrap() + "/";
    for directory in [env!("CARGO_MANIFEST_DIR"), "/.cargo/", "/.rustup/", "/home/", "/tmp/", &home] {
        let found = elf.bytes.windows(directory.len()).any(|window| window == directory.as_bytes());
        assert!(!found, "{directory}");
    }
}
