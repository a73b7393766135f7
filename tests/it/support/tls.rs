//! A certificate authority of a test's own.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Makes an authority and, signed by it, a certificate for the server (this machine and `registry.test`) and one for the client.
pub fn certificates(directory: &Path) {
    let openssl = |line: &str| {
        let output = Command::new("openssl").args(line.split(' ')).current_dir(directory).output().unwrap();
        assert!(output.status.success(), "openssl {line}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc";
    openssl(&format!("req -x509 {key} -keyout ca-key.pem -out ca.pem -days 2 -subj /CN=test-ca"));
    for (name, file) in [("server", "server"), ("client", "")] {
        let file = |kind: &str| if file.is_empty() { format!("{kind}.pem") } else { format!("{file}-{kind}.pem") };
        let (keys, certificate) = (file("key"), file("cert"));
        openssl(&format!("req {key} -keyout {keys} -out {name}.csr -subj /CN={name}"));
        let names = "subjectAltName=DNS:localhost,IP:127.0.0.1,DNS:registry.test\n";
        std::fs::write(directory.join("names"), names).unwrap();
        openssl(&format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca-key.pem -CAcreateserial -out {certificate} -days 2 -extfile names"
        ));
    }
}

/// Returns what a server needs, from the certificates of a directory.
pub fn server(directory: &Path) -> Arc<rustls::ServerConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let certificate = CertificateDer::from_pem_file(directory.join("server-cert.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(directory.join("server-key.pem")).unwrap();
    Arc::new(config.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap())
}
