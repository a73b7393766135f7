//! Keys and sealed files, as `age-keygen` and `age` make them.

use std::io::Write as _;
use std::process::{Command, Stdio};

/// A pair of keys: the file of `age-keygen`, and the recipient.
pub struct Keys {
    pub file: String,
    pub recipient: String,
}

impl Keys {
    pub fn new() -> Self {
        let made = Command::new("age-keygen").output().expect("no age-keygen in PATH; hint: apt-get install age");
        let file = String::from_utf8(made.stdout).unwrap();
        let recipient = file.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap().to_owned();
        Self { file, recipient }
    }

    /// Returns the identity alone.
    pub fn identity(&self) -> &str {
        self.file.lines().last().unwrap()
    }

    /// Returns `content` sealed by `age` for this key and `others`.
    pub fn seal(&self, content: impl AsRef<[u8]>, others: &[&Self]) -> Vec<u8> {
        let mut age = Command::new("age");
        for keys in [self].iter().chain(others) {
            age.args(["-r", &keys.recipient]);
        }
        let mut age = age.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdin = age.stdin.take().unwrap();
        let content = content.as_ref();
        let sealed = std::thread::scope(|scope| {
            scope.spawn(move || stdin.write_all(content).unwrap());
            age.wait_with_output().unwrap()
        });
        assert!(sealed.status.success());
        sealed.stdout
    }
}
