//! Reads the certificates to trust: those of `AWS_CA_BUNDLE` or a profile's `ca_bundle`, else the system's.

use std::fs::File;
use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use tokio::sync::OnceCell;

use super::diagnose;
use super::settings::Setting;
use crate::org::file::read_all;
use crate::runtime::blocking;
use crate::secrets::ProviderError;

/// The largest bundle, in bytes. The system's own has about 250 KB.
const LARGEST: usize = 8 << 20;

/// Reads a bundle and checks that it has certificates and that all of them are usable.
pub async fn read(bundle: &Setting, credential: &str) -> Result<Vec<u8>, ProviderError> {
    let path = bundle.value.clone();
    let bytes = blocking::detached(move || {
        // opening a pipe would wait for its writer
        match std::fs::metadata(&path)?.is_file() {
            true => read_all(File::open(&path)?, LARGEST),
            false => Err(io::Error::other("it is not a regular file")),
        }
    });
    let pem = bytes.await.flatten().map_err(|error| diagnose::no_ca_bundle(credential, bundle, &error.to_string()))?;
    let pem = pem.expose().to_vec();
    match fault_of_bundle(&pem) {
        Some(why) => Err(diagnose::bad_ca_bundle(credential, bundle, why)),
        None => Ok(pem),
    }
}

/// Returns the system's certificates, read once in a run; `None` if it has none. One that rustls cannot use is left out.
pub async fn of_system() -> Option<Vec<u8>> {
    static PEM: OnceCell<Vec<u8>> = OnceCell::const_new();
    let pem = PEM.get_or_init(|| async { blocking::detached(system_pem).await.unwrap_or_default() }).await;
    (!pem.is_empty()).then(|| pem.clone())
}

fn system_pem() -> Vec<u8> {
    let mut roots = RootCertStore::empty();
    let mut pem = String::new();
    for certificate in rustls_native_certs::load_native_certs().certs {
        let text = STANDARD.encode(&certificate);
        if roots.add(certificate).is_ok() {
            pem += &format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
        }
    }
    pem.into_bytes()
}

fn fault_of_bundle(pem: &[u8]) -> Option<&'static str> {
    if pem.len() > LARGEST {
        return Some("it is larger than 8 MiB");
    }
    let Ok(certificates) = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>() else {
        return Some("a certificate in it is cut short or not PEM");
    };
    let mut roots = RootCertStore::empty();
    match certificates.is_empty() {
        true => Some("it holds no certificate in PEM"),
        false => {
            certificates.into_iter().any(|one| roots.add(one).is_err()).then_some("a certificate in it cannot be read")
        }
    }
}
