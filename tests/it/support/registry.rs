//! A registry of a test's own, whose storage it can search.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Docker's registry on loopback, over plain HTTP or TLS, with deletion allowed.
pub struct OwnRegistry {
    folder: tempfile::TempDir,
    server: Child,
    /// `HOST:PORT`.
    pub host: String,
}

impl OwnRegistry {
    /// Starts one with an empty storage.
    pub fn start() -> Self {
        OwnRegistry::start_with("")
    }

    /// Does the same over TLS, with the server's certificate of [`super::tls::certificates`] in a directory.
    pub fn start_with_tls(certificates: &Path) -> Self {
        let file = |name: &str| certificates.join(name).display().to_string();
        let (certificate, key) = (file("server-cert.pem"), file("server-key.pem"));
        OwnRegistry::start_with(&format!(", tls: {{ certificate: {certificate}, key: {key} }}"))
    }

    /// `http` is more of that section of its configuration.
    fn start_with(http: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let storage = folder.path().join("storage");
        fs::create_dir(&storage).unwrap();
        let config = format!(
            "version: 0.1\nlog: {{ level: info }}\nstorage: {{ filesystem: {{ rootdirectory: {} }}, delete: {{ enabled: true }} }}\n\
             http: {{ addr: \"127.0.0.1:0\"{http} }}\n",
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
        thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
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

/// An HTTP proxy that connects to one server whatever it is asked for, and counts the connections.
pub struct Tunnel {
    /// `HOST:PORT`.
    pub host: String,
    connections: Arc<AtomicUsize>,
}

impl Tunnel {
    /// Starts one to a server, `HOST:PORT`.
    pub fn to(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let connections = Arc::new(AtomicUsize::new(0));
        let (server, count) = (server.to_owned(), Arc::clone(&connections));
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                count.fetch_add(1, Ordering::SeqCst);
                let server = server.clone();
                thread::spawn(move || connect(client, &server));
            }
        });
        Tunnel { host, connections }
    }

    /// Returns how many connections there were.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

fn connect(mut client: TcpStream, server: &str) {
    let request = BufReader::new(client.try_clone().unwrap());
    // the client says no more before it has the answer
    assert!(request.lines().map_while(Result::ok).any(|line| line.is_empty()));
    let server = TcpStream::connect(server).unwrap();
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
    let copy = |mut from: TcpStream, mut to: TcpStream| {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    };
    let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    thread::spawn(move || copy(from, to));
    copy(server, client);
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
