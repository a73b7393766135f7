//! Diagnoses unusable AWS settings before anything is sent. It never shows the value of an endpoint URL.

use super::request::failure;
use crate::secrets::aws::settings::Setting;
use crate::secrets::{ProviderError, ProviderErrorKind};

/// An endpoint URL cannot be used; `source` is the variable or the key of a profile that sets it.
pub fn bad_endpoint(credential: &str, source: &str, why: &str) -> ProviderError {
    let what = format!("{source} is not an endpoint URL: {why} (credential `{credential}`)");
    failure(ProviderErrorKind::Other, "bad-endpoint", what)
        .hint("write a whole URL, as in https://HOST or http://localhost:4566, or unset it")
}

/// The CA bundle cannot be read.
pub fn no_ca_bundle(credential: &str, bundle: &Setting, why: &str) -> ProviderError {
    let Setting { value, source } = bundle;
    let what = format!("cannot read the CA bundle {value}: {why} (credential `{credential}`)");
    failure(ProviderErrorKind::Other, "no-ca-bundle", what)
        .cause(format!("{source} names it"))
        .hint(format!("set {source} to a readable file of certificates in PEM, or unset it"))
}

/// The CA bundle holds no usable certificates.
pub fn bad_ca_bundle(credential: &str, bundle: &Setting, why: &str) -> ProviderError {
    let Setting { value, source } = bundle;
    let what = format!("{value} is not a CA bundle: {why} (credential `{credential}`)");
    failure(ProviderErrorKind::Other, "bad-ca-bundle", what)
        .cause(format!("{source} names it"))
        .hint(format!("set {source} to a file of certificates in PEM, or unset it"))
}
