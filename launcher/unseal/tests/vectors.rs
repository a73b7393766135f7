//! The age project's published test vectors. Each names in its header what must come of opening it.

use flate2::read::ZlibDecoder;
use secretbake_unseal::{Identities, OpenError, open};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

/// A vector: the lines of its own header, then a blank line, then the file.
struct Vector {
    fields: BTreeMap<String, String>,
    identities: String,
    file: Vec<u8>,
}

impl Vector {
    fn read(path: &Path) -> Self {
        let content = std::fs::read(path).unwrap();
        let blank = content.windows(2).position(|pair| pair == b"\n\n").unwrap();
        let header = std::str::from_utf8(&content[..blank]).unwrap();
        let fields: Vec<(&str, &str)> = header.lines().map(|line| line.split_once(": ").unwrap()).collect();
        let identities = fields.iter().filter(|(name, _)| *name == "identity").map(|(_, value)| *value);
        let mut file = content[blank + 2..].to_vec();
        if fields.contains(&("compressed", "zlib")) {
            let mut plain = Vec::new();
            ZlibDecoder::new(&file[..]).read_to_end(&mut plain).unwrap();
            file = plain;
        }
        Self {
            identities: identities.collect::<Vec<_>>().join("\n"),
            fields: fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            file,
        }
    }

    /// Returns `success` with the digest of what was opened, or the failure in the vectors' words.
    fn opened(mut self) -> (&'static str, Option<String>) {
        // two vectors have none, because their header fails before one is needed
        let identities =
            Identities::parse(self.identities.as_bytes()).unwrap_or(Identities::parse(SOME_IDENTITY).unwrap());
        match open(&mut self.file, &identities) {
            Ok(plain) => ("success", Some(Sha256::digest(plain).iter().map(|byte| format!("{byte:02x}")).collect())),
            Err(OpenError::NotAge | OpenError::OtherVersion | OpenError::Header) => ("header failure", None),
            Err(OpenError::NoMatch) => ("no match", None),
            Err(OpenError::HeaderMac) => ("HMAC failure", None),
            Err(OpenError::Payload) => ("payload failure", None),
        }
    }
}

const SOME_IDENTITY: &[u8] = b"AGE-SECRET-KEY-1EGTZVFFV20835NWYV6270LXYVK2VKNX2MMDKWYKLMGR48UAWX40Q2P2LM0";

#[test]
fn each_published_vector_gives_what_it_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "md") {
            continue;
        }
        count += 1;
        let vector = Vector::read(&path);
        let expected = (vector.fields["expect"].clone(), vector.fields.get("payload").cloned());
        let (result, digest) = vector.opened();
        assert_eq!(result, expected.0, "{path:?}");
        if result == "success" {
            assert_eq!(digest, expected.1, "{path:?}");
        }
    }
    assert_eq!(count, 67);
}
