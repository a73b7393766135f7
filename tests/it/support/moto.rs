//! A real Secrets Manager over the wire: moto's server on loopback, one region for each test.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use base64::Engine as _;
use serde_json::{Value, json};

use super::canary::Values;
use super::{unique, variable};

/// A region of its own of the moto server; nothing is signed, as moto does not ask.
pub struct Moto {
    pub endpoint: String,
    pub prefix: String,
    /// Of the secrets that it was given.
    pub values: Values,
}

impl Moto {
    pub fn new() -> Self {
        Moto { endpoint: variable("SECRETBAKE_TEST_MOTO"), prefix: unique("t"), values: Values::default() }
    }

    /// Returns the full name of this test's secret of a short name.
    pub fn name(&self, short: &str) -> String {
        format!("{}/{short}", self.prefix)
    }

    /// Creates a text secret and returns its ARN.
    pub fn text(&self, short: &str, value: &str) -> String {
        self.values.add(value);
        let answer = self.call("CreateSecret", &json!({ "Name": self.name(short), "SecretString": value }));
        answer["ARN"].as_str().unwrap().to_owned()
    }

    /// Creates a parameter below this test's path, or gives it a new version; returns its version.
    pub fn parameter(&self, short: &str, kind: &str, value: &str) -> u64 {
        self.values.add(value);
        let name = format!("/{}", self.name(short));
        let body = json!({ "Name": name, "Type": kind, "Value": value, "Overwrite": true });
        self.ask("AmazonSSM", "PutParameter", &body)["Version"].as_u64().unwrap()
    }

    /// Creates a binary secret.
    pub fn binary(&self, short: &str, value: &[u8]) {
        let value = base64::engine::general_purpose::STANDARD.encode(value);
        self.call("CreateSecret", &json!({ "Name": self.name(short), "SecretBinary": value }));
    }

    /// Gives a secret a new current version and returns its version ID.
    pub fn rotate(&self, short: &str, value: &str) -> String {
        self.values.add(value);
        let answer = self.call("PutSecretValue", &json!({ "SecretId": self.name(short), "SecretString": value }));
        answer["VersionId"].as_str().unwrap().to_owned()
    }

    /// Deletes a secret, without a time in which it could be restored.
    pub fn delete(&self, short: &str) {
        self.call("DeleteSecret", &json!({ "SecretId": self.name(short), "ForceDeleteWithoutRecovery": true }));
    }

    fn call(&self, action: &str, body: &Value) -> Value {
        self.ask("secretsmanager", action, body)
    }

    /// Asks one of the services that speak JSON.
    pub fn ask(&self, service: &str, action: &str, body: &Value) -> Value {
        let host = self.endpoint.strip_prefix("http://").unwrap();
        let body = body.to_string();
        let mut stream = TcpStream::connect(host).unwrap();
        write!(
            stream,
            "POST / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Type: application/x-amz-json-1.1\r\n\
             X-Amz-Target: {service}.{action}\r\nAuthorization: AWS4-HMAC-SHA256 \
             Credential=test/20260101/us-east-1/{}/aws4_request, SignedHeaders=host, Signature=0\r\n\
             Content-Length: {}\r\n\r\n{body}",
            if service == "AmazonSSM" { "ssm" } else { service },
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{action}: {answer}");
        serde_json::from_str(body).unwrap()
    }
}
