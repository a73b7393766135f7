//! Owns TLS to an engine. It always verifies the engine's certificate.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::endpoint::TlsFiles;

pub(super) type Connector = tokio_rustls::TlsConnector;

/// Reads the files and returns a connector. An error names the file.
pub(super) fn connector(files: &TlsFiles) -> io::Result<Connector> {
    let mut roots = RootCertStore::empty();
    let authorities = match &files.ca {
        Some(path) => certificates(path)?,
        None => rustls_native_certs::load_native_certs().certs,
    };
    roots.add_parsable_certificates(authorities);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots);
    let config = match (&files.cert, &files.key) {
        (Some(cert), Some(path)) => {
            let key = PrivateKeyDer::from_pem_file(path).map_err(|_| unreadable(path, "a private key"))?;
            builder
                .with_client_auth_cert(certificates(cert)?, key)
                .map_err(|_| unreadable(cert, "the key's certificate"))?
        }
        _ => builder.with_no_client_auth(),
    };
    Ok(Arc::new(config).into())
}

/// Starts TLS on a connection.
pub(super) async fn handshake(
    connector: &Connector,
    host: &str,
    stream: TcpStream,
) -> io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "the host name is not valid for TLS"))?;
    connector.connect(name, stream).await
}

fn certificates(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let wrong = || unreadable(path, "certificates");
    let list: Vec<_> =
        CertificateDer::pem_file_iter(path).map_err(|_| wrong())?.collect::<Result<_, _>>().map_err(|_| wrong())?;
    if list.is_empty() { Err(wrong()) } else { Ok(list) }
}

fn unreadable(path: &Path, what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("cannot read {what} from {}", path.display()))
}
