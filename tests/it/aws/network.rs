//! Requests that the service did not answer, or answered only after a while: each case is told from the others.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

use insta::assert_snapshot;
use secretbake::secrets::CallLimits;

use super::{Credential, diagnosis, outcome, quick, read, refusal, value};
use crate::support::stub::{Reply, Stub};

/// Reads `db` in a region, from a host that has no address.
async fn without_address(region: &'static str, host: &str) -> String {
    let provider = Credential { region, ..Credential::default() };
    outcome(read(&provider.at(&format!("https://{host}")), "db").await)
}

#[tokio::test]
async fn a_misspelt_region() {
    assert_snapshot!(without_address("us-esat-1", "secretsmanager.us-esat-1.amazonaws.com").await, @"
    Other: error: no such host: secretsmanager.us-esat-1.amazonaws.com (credential `aws-prod`, region us-esat-1)
      cause: there may be no region us-esat-1
      cause: this machine's DNS does not answer, or it has no network
      hint: did you mean `region: us-east-1`?
    ");
    assert_snapshot!(without_address("xx-nowhere-1", "secretsmanager.xx-nowhere-1.amazonaws.com").await, @"
    Other: error: no such host: secretsmanager.xx-nowhere-1.amazonaws.com (credential `aws-prod`, region xx-nowhere-1)
      cause: there may be no region xx-nowhere-1
      cause: this machine's DNS does not answer, or it has no network
      hint: check the credential's `region`; look up the host with `getent hosts secretsmanager.xx-nowhere-1.amazonaws.com`
    ");
}

#[tokio::test]
async fn a_known_region_is_not_what_is_wrong() {
    assert_snapshot!(without_address("us-east-1", "no-such-host.us-east-1.amazonaws.com").await, @"
    Other: error: no such host: no-such-host.us-east-1.amazonaws.com (credential `aws-prod`, region us-east-1)
      cause: this machine's DNS does not answer, or it has no network
      cause: the network is reached through a proxy only, and HTTPS_PROXY is not set
      hint: look up the host with `getent hosts no-such-host.us-east-1.amazonaws.com`, and check HTTPS_PROXY and NO_PROXY
    ");
}

#[tokio::test]
async fn an_endpoint_whose_host_does_not_exist() {
    assert_snapshot!(without_address("us-east-1", "aws.invalid").await, @"
    Other: error: no such host: aws.invalid (credential `aws-prod`, region us-east-1)
      cause: AWS_ENDPOINT_URL, the variable of the service or a profile's endpoint_url names a host that does not exist
      cause: this machine's DNS does not answer, or it has no network
      hint: check the endpoint URL that is set, and this machine's DNS
    ");
}

#[tokio::test]
async fn a_response_without_end_is_not_kept_in_memory() {
    let endless = Reply::json(200, &format!(r#"{{"SecretString":"{}""#, "x".repeat(17 << 20)));
    assert_snapshot!(diagnosis([endless]).await, @"
    Other: error: the response from HOST:PORT is longer than any of AWS's (credential `aws-prod`, region us-east-1)
      cause: a firewall, a proxy (HTTPS_PROXY) or AWS_ENDPOINT_URL is in the way
      hint: check HTTPS_PROXY, NO_PROXY and AWS_ENDPOINT_URL
    ");
}

#[tokio::test]
async fn nothing_listens() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let provider = Credential::default().at(&format!("http://127.0.0.1:{port}"));
    let text = outcome(read(&provider, "db").await).replace(&port.to_string(), "PORT");
    assert_snapshot!(text, @"
    Other: error: 127.0.0.1:PORT refuses the connection (credential `aws-prod`, region us-east-1)
      cause: nothing listens there: the wrong AWS_ENDPOINT_URL, or a test double that is not running
      cause: a firewall or a proxy refuses it
      hint: check HTTPS_PROXY, NO_PROXY and AWS_ENDPOINT_URL
    ");
}

/// Reads a secret from what begins a TLS connection with these bytes, and ends it.
async fn over_tls(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut connection in listener.incoming().map_while(Result::ok) {
            let _ = connection.read(&mut [0; 4096]).and_then(|_| connection.write_all(answer));
        }
    });
    let provider = Credential::default().at(&format!("https://127.0.0.1:{port}"));
    outcome(read(&provider, "db").await).replace(&port.to_string(), "PORT")
}

#[tokio::test]
async fn no_tls() {
    assert_snapshot!(over_tls(b"HTTP/1.1 400 Bad Request\r\n\r\n").await, @"
    Other: error: no trusted connection to 127.0.0.1:PORT (credential `aws-prod`, region us-east-1)
      cause: TLS says: received corrupt message of type InvalidContentType
      cause: a proxy that opens TLS, whose CA this machine does not know, or an https URL for an http endpoint
      hint: set AWS_CA_BUNDLE to a file with the proxy's CA certificate, or add it to the system's
    ");
    assert_snapshot!(over_tls(b"").await, @"
    Other: error: no trusted connection to 127.0.0.1:PORT (credential `aws-prod`, region us-east-1)
      cause: TLS says: tls handshake eof
      cause: a proxy that opens TLS, whose CA this machine does not know, or an https URL for an http endpoint
      hint: set AWS_CA_BUNDLE to a file with the proxy's CA certificate, or add it to the system's
    ");
}

#[tokio::test]
async fn no_answer_ends_within_the_limits() {
    let stub = Stub::answering([Reply::hang()]);
    let limits = CallLimits { attempt: Duration::from_millis(300), operation: Duration::from_millis(700), ..quick() };
    let provider = Credential { limits, ..Credential::default() }.at(&stub.url());
    let began = Instant::now();
    assert_snapshot!(outcome(read(&provider, "db").await).replace(&stub.host(), "HOST:PORT"), @"
    Other: error: no answer from HOST:PORT in time (credential `aws-prod`, region us-east-1)
      cause: packets are dropped: no route to the internet, and no VPC endpoint for the service
      cause: a firewall, a proxy (HTTPS_PROXY) or AWS_ENDPOINT_URL is in the way
      hint: try to reach it from this machine: `curl -v http://HOST:PORT`
    ");
    assert!(began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());
}

#[tokio::test]
async fn an_answer_that_breaks_off() {
    assert_snapshot!(diagnosis([value("CANARY").claiming(100_000)]).await, @"
    Other: error: the answer from HOST:PORT broke off (credential `aws-prod`, region us-east-1)
      cause: the connection was lost, or something on the way limits it
      hint: try again
    ");
}

#[tokio::test]
async fn a_malformed_answer() {
    let cut = Reply::json(200, r#"{"Name":"db","SecretString":"CANARY"#);
    assert_snapshot!(diagnosis([cut]).await, @"
    Other: error: HOST:PORT does not answer as AWS does: HTTP 200 (credential `aws-prod`, region us-east-1)
      cause: the answer was changed on the way (request ID 4f1c-json)
      cause: a firewall, a proxy (HTTPS_PROXY) or AWS_ENDPOINT_URL is in the way
      hint: check HTTPS_PROXY, NO_PROXY and AWS_ENDPOINT_URL
    ");
    let claimed = value("CANARY").claiming(40);
    assert_snapshot!(diagnosis([claimed]).await, @"
    Other: error: HOST:PORT does not answer as AWS does: HTTP 200 (credential `aws-prod`, region us-east-1)
      cause: the answer was changed on the way (request ID 4f1c-json)
      cause: a firewall, a proxy (HTTPS_PROXY) or AWS_ENDPOINT_URL is in the way
      hint: check HTTPS_PROXY, NO_PROXY and AWS_ENDPOINT_URL
    ");
}

#[tokio::test]
async fn something_else_answers() {
    assert_snapshot!(diagnosis([Reply::raw(403, "text/html", "<html>CANARY</html>")]).await, @"
    Other: error: HOST:PORT does not answer as AWS does: HTTP 403 (credential `aws-prod`, region us-east-1)
      cause: a firewall, a proxy (HTTPS_PROXY) or AWS_ENDPOINT_URL is in the way
      hint: check HTTPS_PROXY, NO_PROXY and AWS_ENDPOINT_URL
    ");
    assert_snapshot!(diagnosis([Reply::raw(407, "text/html", "<html>CANARY</html>")]).await, @"
    Other: error: HOST:PORT does not answer as AWS does: HTTP 407 (credential `aws-prod`, region us-east-1)
      cause: the proxy asks for a login
      hint: put it into HTTPS_PROXY
    ");
    let text = diagnosis([Reply::raw(200, "text/html", "<html>CANARY</html>")]).await;
    assert!(text.contains("HOST:PORT does not answer as AWS does: HTTP 200"), "{text}");
}

#[tokio::test]
async fn throttling_that_ends() {
    let throttled = || refusal("com.amazonaws.secretsmanager#ThrottlingException", "Rate exceeded");
    let stub = Stub::answering([throttled(), throttled(), value("good")]);
    assert_eq!(outcome(read(&Credential::default().at(&stub.url()), "db").await), "good");
    assert_eq!(stub.requests().len(), 3);
}

#[tokio::test]
async fn throttling_that_does_not_end() {
    assert_snapshot!(diagnosis([refusal("ThrottlingException", "Rate exceeded")]).await, @"
    Other: error: AWS throttles the requests (credential `aws-prod`, region us-east-1)
      cause: AWS says ThrottlingException: Rate exceeded (request ID 4f1c-json)
      cause: other programs of the account ask the same service, which has one limit per account and region
      hint: try again later, or ask AWS for a higher limit
    ");
}

#[tokio::test]
async fn a_failing_service_is_asked_again() {
    let failing = || Reply::json(500, r#"{"__type":"InternalServiceError","Message":"An error occurred"}"#);
    let stub = Stub::answering([failing(), Reply::raw(503, "text/plain", "busy"), value("good")]);
    assert_eq!(outcome(read(&Credential::default().at(&stub.url()), "db").await), "good");
    assert_snapshot!(diagnosis([failing()]).await, @"
    Other: error: AWS failed with InternalServiceError (credential `aws-prod`, region us-east-1)
      cause: AWS says InternalServiceError: An error occurred (request ID 4f1c-json)
      hint: try again later; health.aws.amazon.com shows outages
    ");
}
