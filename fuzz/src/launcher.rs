//! What the launcher reads in a container.

use secretbake_launcher::baked::Baked;
use secretbake_launcher::seal::index::{Index, SealedFile};
use secretbake_launcher::seal::path::{PathBuffer, for_each_directory};

/// Takes any input.
type Target = fn(&[u8]);

/// The targets of this file, by name.
pub const TARGETS: &[(&str, Target)] = &[("env-file", env_file), ("sealed-index", sealed_index)];

/// The env file of a plain image.
pub fn env_file(input: &[u8]) {
    let Ok(baked) = Baked::parse(input) else { return };
    let entries: Vec<&[u8]> = baked.entries().map(|entry| entry.to_bytes_with_nul()).collect();
    assert_eq!(entries.len(), baked.count());
    assert_eq!(entries.concat(), input);
}

/// The index of sealed files: written and read again it is the same, and each file has a place to be written to.
pub fn sealed_index(input: &[u8]) {
    let Ok(index) = Index::parse(input) else { return };
    let files: Vec<_> = index.files().collect();
    assert_eq!(files.len(), index.count());
    let written: Vec<u8> = files.iter().flat_map(record).collect();
    assert!(Index::parse(&written).expect("what is written is an index").files().eq(files.iter().copied()));
    for file in &files {
        let path = file.path.to_bytes();
        assert!(file.mode <= 0o7777 && path.starts_with(b"/") && !path.ends_with(b"/"), "{file:?}");
        assert!(path.starts_with(file.directory()));
        if let Some(temporary) = PathBuffer::temporary(file.path, [0xa5; 8]) {
            let name =
                temporary.as_c_str().to_bytes().strip_prefix(file.directory()).expect("it is in the same directory");
            assert!(!name.strip_prefix(b"/").unwrap_or(name).contains(&b'/'), "{temporary:?}");
        }
        let above = for_each_directory(file.path, |directory| {
            if path.starts_with(directory.to_bytes()) { Ok(()) } else { Err(directory.to_owned()) }
        });
        assert_eq!(above, Ok(()));
    }
}

/// Writes the record of a file.
fn record(file: &SealedFile<'_>) -> Vec<u8> {
    let id = |id: Option<u32>| id.map_or("-".to_owned(), |id| id.to_string());
    let rights = format!("{:o} {} {} ", file.mode, id(file.uid), id(file.gid));
    [rights.as_bytes(), file.path.to_bytes_with_nul()].concat()
}
