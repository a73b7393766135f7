//! A wire stub: an HTTP/1.1 server on loopback that answers from a script, or by what it is asked, and keeps what it was asked.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// A server that answers one request after the other with the replies of its script, and the last of them for ever.
pub struct Stub {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    requests: Mutex<Vec<Request>>,
    stop: AtomicBool,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
}

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Request {
    /// The method and target, as in `POST /`.
    pub line: String,
    /// The names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

/// What the server answers.
#[derive(Debug, Clone)]
pub struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    claimed_length: Option<usize>,
    hangs: bool,
    pause: Duration,
    operation: Option<String>,
}

impl Request {
    /// Returns a header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// Returns the operation of an AWS request: `GetSecretValue`, `AssumeRole`.
    pub fn operation(&self) -> String {
        let of_json = self.header("x-amz-target").and_then(|target| target.split('.').nth(1));
        let of_query = self.body.split('&').find_map(|field| field.strip_prefix("Action="));
        of_json.or(of_query).unwrap_or(&self.line).to_owned()
    }
}

impl Reply {
    /// Returns an answer of Secrets Manager.
    pub fn json(status: u16, body: &str) -> Self {
        Reply::raw(status, "application/x-amz-json-1.1", body).header("x-amzn-requestid", "4f1c-json")
    }

    /// Returns an answer of STS; its errors have the request ID in their body.
    pub fn xml(status: u16, body: &str) -> Self {
        Reply::raw(status, "text/xml", body).header("x-amzn-requestid", "4f1c-xml")
    }

    /// Returns an answer of something else.
    pub fn raw(status: u16, kind: &str, body: &str) -> Self {
        let headers = vec![("content-type".to_owned(), kind.to_owned())];
        let pause = Duration::ZERO;
        Reply {
            status,
            headers,
            body: body.as_bytes().to_vec(),
            claimed_length: None,
            hangs: false,
            pause,
            operation: None,
        }
    }

    /// Takes the request and never answers.
    pub fn hang() -> Self {
        Reply { hangs: true, ..Reply::raw(200, "", "") }
    }

    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Claims another length than the body's, and closes the connection behind the body.
    #[must_use]
    pub fn claiming(mut self, length: usize) -> Self {
        self.claimed_length = Some(length);
        self
    }

    /// Answers every request for one operation, or of one method where there is none, and no other; a script has either such replies only or none.
    #[must_use]
    pub fn to(mut self, operation: &str) -> Self {
        self.operation = Some(operation.to_owned());
        self
    }

    /// Waits before it answers.
    #[must_use]
    pub fn after(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }
}

impl Stub {
    /// Starts a server with a script.
    pub fn answering(script: impl IntoIterator<Item = Reply>) -> Self {
        let script: Vec<Reply> = script.into_iter().collect();
        assert!(!script.is_empty());
        Stub::numbered(move |number, request| {
            let (operation, method) = (request.operation(), request.line.split(' ').next().unwrap_or_default());
            let of_operation = script
                .iter()
                .find(|reply| reply.operation.as_ref().is_some_and(|wanted| *wanted == operation || wanted == method));
            of_operation.unwrap_or(&script[number.min(script.len() - 1)]).clone()
        })
    }

    /// Starts a server that answers each request by what it asks.
    pub fn with(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Stub::numbered(move |_, request| answer(request))
    }

    fn numbered(answer: impl Fn(usize, &Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            requests: Mutex::default(),
            stop: AtomicBool::new(false),
            at_once: AtomicUsize::new(0),
            most_at_once: AtomicUsize::new(0),
        });
        let (kept, answer) = (shared.clone(), Arc::new(answer));
        thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                if kept.stop.load(Ordering::SeqCst) {
                    break;
                }
                let (kept, answer) = (kept.clone(), answer.clone());
                thread::spawn(move || serve(connection, &*answer, &kept));
            }
        });
        Stub { address, shared }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// Returns every request so far.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// Returns the operations of every request so far.
    pub fn operations(&self) -> Vec<String> {
        self.requests().iter().map(Request::operation).collect()
    }

    /// Returns how many requests were open at one time, at most.
    pub fn most_at_once(&self) -> usize {
        self.shared.most_at_once.load(Ordering::SeqCst)
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

/// Answers the one request of a connection.
fn serve(connection: TcpStream, answer: &dyn Fn(usize, &Request) -> Reply, shared: &Shared) {
    let Some(request) = receive(&connection) else { return };
    let open = shared.at_once.fetch_add(1, Ordering::SeqCst) + 1;
    shared.most_at_once.fetch_max(open, Ordering::SeqCst);
    let reply = {
        let mut requests = shared.requests.lock().unwrap();
        let reply = answer(requests.len(), &request);
        requests.push(request);
        reply
    };
    while reply.hangs && !shared.stop.load(Ordering::SeqCst) {
        thread::sleep(Duration::from_millis(20));
    }
    thread::sleep(reply.pause);
    shared.at_once.fetch_sub(1, Ordering::SeqCst);
    let mut head = format!("HTTP/1.1 {} Stub\r\nconnection: close\r\n", reply.status);
    for (name, value) in &reply.headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += &format!("content-length: {}\r\n\r\n", reply.claimed_length.unwrap_or(reply.body.len()));
    let mut connection = connection;
    // who asked may have gone
    let _ = connection.write_all(head.as_bytes()).and_then(|()| connection.write_all(&reply.body));
}

fn receive(connection: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(connection);
    let mut line = String::new();
    if reader.read_line(&mut line).ok()? == 0 {
        return None;
    }
    let line = line.trim_end().trim_end_matches(" HTTP/1.1").to_owned();
    let mut headers = Vec::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length").and_then(|(_, value)| value.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    Some(Request { line, headers, body: String::from_utf8(body).ok()? })
}
