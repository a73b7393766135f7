//! Owns the choice of a proxy: the environment's, and none for this machine.

use base64::Engine as _;
use hyper_util::client::proxy::matcher::Matcher;
use reqwest::{Proxy, Url};

use super::plain_http::is_loopback;

/// Returns the environment's proxies. This machine is asked without one: it may be asked in plain HTTP because nobody is in between.
pub(super) fn from_environment() -> Proxy {
    let environment = Matcher::from_system();
    Proxy::custom(move |url| proxy(&environment, url))
}

fn proxy(environment: &Matcher, url: &Url) -> Option<Url> {
    url.host_str().filter(|host| !is_loopback(host))?;
    let found = environment.intercept(&url.as_str().parse().ok()?)?;
    let mut proxy = Url::parse(&found.uri().to_string()).ok()?;
    if let Some(login) = found.basic_auth().and_then(|header| header.to_str().ok()?.strip_prefix("Basic ")) {
        let login = base64::engine::general_purpose::STANDARD.decode(login).ok()?;
        let login = String::from_utf8(login).ok()?;
        let (user, password) = login.split_once(':').unwrap_or((&login, ""));
        proxy.set_username(user).and_then(|()| proxy.set_password(Some(password))).ok()?;
    }
    Some(proxy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_asked_without_a_proxy_and_any_other_as_the_environment_says() {
        let environment = Matcher::builder()
            .http("http://proxy.example.com:3128")
            .https("http://some%40body:pass%3Aword@proxy.example.com:3128")
            .no("internal.example.com")
            .build();
        for (url, asked) in [
            ("http://127.0.0.1:5000/v2/", None),
            ("http://localhost/v2/", None),
            ("https://[::1]:5000/v2/", None),
            ("https://internal.example.com/v2/", None),
            ("http://registry.example.com:5000/v2/?a=b", Some("http://proxy.example.com:3128/")),
            ("https://registry.example.com/", Some("http://some%40body:pass%3Aword@proxy.example.com:3128/")),
        ] {
            let found = proxy(&environment, &Url::parse(url).unwrap());
            assert_eq!(found.as_ref().map(Url::as_str), asked, "{url}");
        }
    }
}
