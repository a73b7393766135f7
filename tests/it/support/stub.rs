//! A wire stub: an HTTP/1.1 server on loopback that answers from a script and keeps what it was asked. What it does not answer
//! itself it can hand to a real server.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What a stub answers to its request of a number, from 0; `None` is the real server's to answer.
type Rule = dyn Fn(usize, &Request) -> Option<Reply> + Send + Sync;

/// A server that answers by a rule, and keeps what it was asked.
pub struct Stub {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
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
    bytes: Vec<u8>,
}

/// What the server answers.
#[derive(Debug, Clone)]
pub struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    claimed_length: Option<usize>,
    hangs: bool,
    breaks: bool,
    carried_out: bool,
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
            breaks: false,
            carried_out: false,
            pause,
            operation: None,
        }
    }

    /// Answers with bytes that need not be text.
    pub fn body(mut self, bytes: Vec<u8>) -> Self {
        self.body = bytes;
        self
    }

    /// Takes the request and never answers.
    pub fn hang() -> Self {
        Reply { hangs: true, ..Reply::raw(200, "", "") }
    }

    /// Takes the request and closes the connection, as a server that dies.
    pub fn breaks() -> Self {
        Reply { breaks: true, ..Reply::raw(200, "", "") }
    }

    /// Lets the real server carry the request out before.
    #[must_use]
    pub fn carried_out(mut self) -> Self {
        self.carried_out = true;
        self
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
    /// Starts a server that answers one request after the other with the replies of a script, and the last of them for ever.
    pub fn answering(script: impl IntoIterator<Item = Reply>) -> Self {
        let script: Vec<Reply> = script.into_iter().collect();
        assert!(!script.is_empty());
        Stub::start(Server {
            upstream: None,
            tls: None,
            rule: Box::new(move |number, request| {
                let (operation, method) = (request.operation(), request.line.split(' ').next().unwrap_or_default());
                let of_operation = script.iter().find(|reply| {
                    reply.operation.as_ref().is_some_and(|wanted| *wanted == operation || wanted == method)
                });
                Some(of_operation.unwrap_or(&script[number.min(script.len() - 1)]).clone())
            }),
        })
    }

    /// Starts a server that answers by a rule.
    pub fn by(rule: impl Fn(usize, &Request) -> Reply + Send + Sync + 'static) -> Self {
        let rule = Box::new(move |number, request: &Request| Some(rule(number, request)));
        Stub::start(Server { upstream: None, tls: None, rule })
    }

    /// Starts a server in front of a real one, `HOST:PORT`. Named as a proxy, it is every host by plain HTTP.
    pub fn before(upstream: &str, rule: impl Fn(usize, &Request) -> Option<Reply> + Send + Sync + 'static) -> Self {
        Stub::start(Server { upstream: Some(upstream.to_owned()), tls: None, rule: Box::new(rule) })
    }

    /// Starts a proxy in front of a real server: it is every host that it is asked to connect to, by TLS.
    pub fn as_tls_proxy(upstream: &str, tls: Arc<rustls::ServerConfig>) -> Self {
        Stub::start(Server { upstream: Some(upstream.to_owned()), tls: Some(tls), rule: Box::new(|_, _| None) })
    }

    fn start(server: Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let (kept, server) = (shared.clone(), Arc::new(server));
        thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                if kept.stop.load(Ordering::SeqCst) {
                    break;
                }
                let (server, kept) = (server.clone(), kept.clone());
                thread::spawn(move || server.serve(connection, &kept));
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

/// What a stub is made of.
struct Server {
    upstream: Option<String>,
    tls: Option<Arc<rustls::ServerConfig>>,
    rule: Box<Rule>,
}

impl Server {
    /// Answers the one request of a connection, behind TLS if it is a proxy for that.
    fn serve(&self, mut connection: TcpStream, shared: &Shared) -> Option<()> {
        let Some(tls) = &self.tls else { return self.answer(connection, shared) };
        receive(&mut connection)?.line.strip_prefix("CONNECT ")?;
        connection.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").ok()?;
        let session = rustls::ServerConnection::new(tls.clone()).unwrap();
        self.answer(rustls::StreamOwned::new(session, connection), shared)
    }

    fn answer(&self, mut connection: impl Read + Write, shared: &Shared) -> Option<()> {
        let request = receive(&mut connection)?;
        let open = shared.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        shared.most_at_once.fetch_max(open, Ordering::SeqCst);
        let number = {
            let mut kept = shared.requests.lock().unwrap();
            kept.push(request.clone());
            kept.len() - 1
        };
        // a rule may wait for other requests
        let reply = (self.rule)(number, &request);
        let answer = match (reply, &self.upstream) {
            (Some(reply), Some(upstream)) if reply.carried_out => {
                self.forward(&request, upstream).ok();
                reply.bytes(&shared.stop)
            }
            (Some(reply), _) => reply.bytes(&shared.stop),
            (None, Some(upstream)) => self.forward(&request, upstream).ok(),
            (None, None) => None,
        };
        shared.at_once.fetch_sub(1, Ordering::SeqCst);
        let answer = answer?;
        // who asked may have gone
        connection.write_all(&answer).and_then(|()| connection.flush()).ok()
    }

    fn forward(&self, request: &Request, upstream: &str) -> std::io::Result<Vec<u8>> {
        let mut head = format!("{} HTTP/1.1\r\nconnection: close\r\n", request.line);
        if self.tls.is_some() {
            head += "x-forwarded-proto: https\r\n";
        }
        for (name, value) in request.headers.iter().filter(|(name, _)| name != "connection") {
            head += &format!("{name}: {value}\r\n");
        }
        let mut server = TcpStream::connect(upstream)?;
        server.write_all(&[head.as_bytes(), b"\r\n", &request.bytes].concat())?;
        let mut answer = Vec::new();
        server.read_to_end(&mut answer)?;
        Ok(answer)
    }
}

impl Reply {
    /// Returns what goes over the wire; `None` if that is nothing.
    fn bytes(&self, stopped: &AtomicBool) -> Option<Vec<u8>> {
        while self.hangs && !stopped.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(20));
        }
        thread::sleep(self.pause);
        let mut head = format!("HTTP/1.1 {} Stub\r\nconnection: close\r\n", self.status);
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += &format!("content-length: {}\r\n\r\n", self.claimed_length.unwrap_or(self.body.len()));
        (!self.breaks).then(|| [head.as_bytes(), &self.body].concat())
    }
}

fn receive(connection: &mut impl Read) -> Option<Request> {
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
    let mut bytes = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut bytes).ok()?;
    let body = String::from_utf8_lossy(&bytes).into_owned();
    Some(Request { line: without_host(&line), headers, body, bytes })
}

/// Takes the host out of a line, as a proxy gets it.
fn without_host(line: &str) -> String {
    match line.split_once(" http://") {
        Some((method, rest)) => format!("{method} /{}", rest.split_once('/').map_or("", |(_, path)| path)),
        None => line.to_owned(),
    }
}
