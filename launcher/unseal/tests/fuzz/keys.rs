//! The text of the key: no mistake in an identity makes another one of it.

use crate::random::run;
use crate::sealer::IDENTITY;
use secretbake_unseal::Identities;

#[test]
fn mutated_keys() {
    let corpus = [IDENTITY.as_bytes().to_vec(), format!("# comment\n\n {IDENTITY}\r\n{IDENTITY}\n").into_bytes()];
    run("mutated_keys", 50_000, |random| {
        let input = random.mutated(&corpus);
        if Identities::parse(&input).is_err() {
            return;
        }
        let lines = input.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        for line in lines.filter(|line| !line.is_empty() && !line.starts_with(b"#")) {
            assert_eq!(line, IDENTITY.as_bytes(), "another key");
        }
    });
}
