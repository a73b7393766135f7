//! A registry of a test's own, whose storage it can search.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Docker's registry over plain HTTP on loopback, with deletion allowed.
pub struct OwnRegistry {
    folder: tempfile::TempDir,
    server: Child,
    /// `HOST:PORT`.
    pub host: String,
}

impl OwnRegistry {
    /// Starts one with an empty storage.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let storage = folder.path().join("storage");
        fs::create_dir(&storage).unwrap();
        let config = format!(
            "version: 0.1\nlog: {{ level: info }}\nstorage: {{ filesystem: {{ rootdirectory: {} }}, delete: {{ enabled: true }} }}\n\
             http: {{ addr: \"127.0.0.1:0\" }}\n",
            storage.display()
        );
        fs::write(folder.path().join("registry.yml"), config).unwrap();
        let mut server = registry("serve", folder.path()).stderr(Stdio::piped()).spawn().unwrap();
        // with port 0 the kernel chooses; the log says which
        let mut log = BufReader::new(server.stderr.take().unwrap());
        let host = loop {
            let mut line = String::new();
            assert!(log.read_line(&mut line).unwrap() > 0, "the registry ended");
            if let Some(at) = line.find("127.0.0.1:") {
                break line[at..].chars().take_while(|c| c.is_ascii_digit() || ".:".contains(*c)).collect();
            }
        };
        // nobody reads the rest, and it must not fill the pipe
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        OwnRegistry { folder, server, host }
    }

    /// Stops the server, runs its garbage collection, and returns the files of its storage.
    pub fn collected(mut self) -> (tempfile::TempDir, Vec<PathBuf>) {
        self.stop();
        let output = registry("garbage-collect", self.folder.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let folder = std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap());
        let files = files(folder.path());
        (folder, files)
    }

    /// Returns the files of its storage that hold these bytes, as they are or compressed.
    pub fn holding(&self, bytes: &[u8]) -> usize {
        files(self.folder.path()).iter().filter(|file| holds(file, bytes)).count()
    }

    fn stop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl Drop for OwnRegistry {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Tells whether a file holds bytes, as they are or compressed with gzip.
pub fn holds(file: &Path, bytes: &[u8]) -> bool {
    let content = fs::read(file).unwrap();
    let mut unpacked = Vec::new();
    // what is not gzip unpacks to nothing
    let _ = flate2::read::MultiGzDecoder::new(&content[..]).read_to_end(&mut unpacked);
    [content, unpacked].iter().any(|content| content.windows(bytes.len()).any(|window| window == bytes))
}

fn registry(command: &str, folder: &Path) -> Command {
    let mut process = Command::new("docker-registry");
    process.args([command, "registry.yml"]).current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null());
    process
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(files(&entry.path())),
            false => found.push(entry.path()),
        }
    }
    found
}
