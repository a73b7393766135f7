//! Owns the HTTP client for all requests to AWS: which certificates it trusts, and how much of a response it reads.
//!
//! Apart from that, it is the SDK's default client (TLS by rustls, proxies from the environment).

use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider as TlsProvider, TlsContext, TrustStore};
use aws_smithy_http_client::{Builder, ConnectorBuilder};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use http_body_util::Limited;

/// The largest response, in bytes: a batch of 20 secrets of 64 KiB, each byte up to six bytes in JSON.
const LARGEST: usize = 16 << 20;

/// Returns the client. `trusted` is checked PEM. With the system's certificates as its own default, the SDK would read them itself, and panic
/// if there are none.
pub fn client(trusted: Vec<u8>) -> SharedHttpClient {
    let trusted = TrustStore::empty().with_pem_certificate(trusted);
    let inner = Builder::new().build_with_connector_fn(move |settings, components| {
        let mut connector = ConnectorBuilder::default().tls_provider(TlsProvider::Rustls(CryptoMode::AwsLc));
        connector.set_connector_settings(settings.cloned());
        connector.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
        connector.set_proxy_config(Some(ProxyConfig::from_env()));
        if let Ok(context) = TlsContext::builder().with_trust_store(trusted.clone()).build() {
            connector.set_tls_context(context);
        }
        connector.build()
    });
    SharedHttpClient::new(BoundedClient(inner))
}

#[derive(Debug)]
struct BoundedClient(SharedHttpClient);

impl HttpClient for BoundedClient {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(BoundedConnector(self.0.http_connector(settings, components)))
    }
}

#[derive(Debug)]
struct BoundedConnector(SharedHttpConnector);

impl HttpConnector for BoundedConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let response = self.0.call(request);
        HttpConnectorFuture::new(async move {
            let bounded = |body| SdkBody::from_body_1_x(Limited::new(body, LARGEST));
            response.await.map(|response| response.map(bounded))
        })
    }
}
