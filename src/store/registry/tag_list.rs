//! Owns the list of a repository's tags, which a registry gives page by page.

use reqwest::header::{HeaderMap, LINK};
use reqwest::{Method, StatusCode, Url};
use serde::Deserialize;

use super::client::{Client, Request};
use super::error::RegistryError;
use super::http::read_body;
use super::token::Scope;
use crate::diagnostic::Diagnostic;
use crate::image::name::{ImageName, Repository};
use crate::store::StoreError;
use crate::store::oci::DOCUMENT_LIMIT;
use crate::store::oci::document::Flaw;
use crate::store::oci::read::malformed;

/// How many tags to ask for at once. A registry may give fewer.
const PAGE: usize = 1000;
/// The most tags of a repository.
const MOST_TAGS: usize = 100_000;

#[derive(Deserialize)]
struct Page {
    /// `null` for a repository without tags.
    tags: Option<Vec<String>>,
}

/// Lists the tags of a repository, in the registry's order. A name that is not a tag is left out.
pub(super) async fn list(client: &Client, repository: &Repository) -> Result<Vec<Repository>, StoreError> {
    let registry = client.registry(repository);
    let shown = ImageName::Registry(repository.clone()).to_string();
    let mut url = registry.host.url(repository, &format!("tags/list?n={PAGE}"));
    let mut tags = Vec::new();
    // a page may be empty, and a list that never ends is none
    for _ in 0..MOST_TAGS {
        let request = Request::new(Method::GET, url, Scope::pull(repository));
        let response = client.send(&registry, &request).await.map_err(|error| error.diagnose(&shown))?;
        if response.status() != StatusCode::OK {
            return Err(RegistryError::from_response(response).await.diagnose(&shown));
        }
        let next = next_page(response.url(), response.headers());
        let body = read_body(response, DOCUMENT_LIMIT).await.map_err(|error| error.diagnose(&shown))?;
        let body = body.ok_or_else(|| malformed(&shown, "the list of tags", &Flaw("is larger than 16 MiB")))?;
        tags.extend(read_page(&body, repository).map_err(|flaw| malformed(&shown, "the list of tags", &flaw))?);
        match next {
            None => return Ok(tags),
            // the login goes to the registry only
            Some(next) if registry.host.is_own(&next) && tags.len() <= MOST_TAGS => url = next.into(),
            Some(_) => break,
        }
    }
    let what = format!("the list of the tags of `{shown}` does not end");
    Err(Diagnostic::error("too-many-tags", what)
        .cause(format!("it has over {MOST_TAGS} tags, or leads to another address"))
        .hint("name the images one by one, each with its tag")
        .into())
}

/// Reads a page of the list.
pub fn read_page(body: &[u8], repository: &Repository) -> Result<Vec<Repository>, Flaw> {
    let page: Page = serde_json::from_slice(body).map_err(|_| Flaw("is not one"))?;
    Ok(page.tags.unwrap_or_default().iter().filter_map(|tag| repository.with_tag(tag)).collect())
}

/// Returns the address of the next page, from `Link: <URL>; rel="next"`.
pub fn next_page(asked: &Url, headers: &HeaderMap) -> Option<Url> {
    let is_next = |parameter: &str| {
        let parameter = parameter.trim();
        parameter.strip_prefix("rel=").is_some_and(|rel| rel.trim_matches('"').eq_ignore_ascii_case("next"))
    };
    for mut rest in headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok()) {
        // a URL may hold commas, which also separate links
        while let Some((target, after)) = rest.split_once('<').and_then(|(_, link)| link.split_once('>')) {
            let (parameters, others) = after.split_once(',').unwrap_or((after, ""));
            if parameters.split(';').any(is_next) {
                return asked.join(target).ok();
            }
            rest = others;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_where_the_link_says() {
        let asked = Url::parse("https://registry.example.com/v2/crew/tags/list?n=2").unwrap();
        for (link, next) in [
            (
                r#"</v2/crew/tags/list?n=2&last=b>; rel="next""#,
                Some("https://registry.example.com/v2/crew/tags/list?n=2&last=b"),
            ),
            ("<list?last=b>; title=x; rel=Next", Some("https://registry.example.com/v2/crew/tags/list?last=b")),
            (r#"</first>; rel="first", </then>; rel="next""#, Some("https://registry.example.com/then")),
            (
                r#"<list?last=a,b>; rel="first", <list?last=c,d>; rel="next""#,
                Some("https://registry.example.com/v2/crew/tags/list?last=c,d"),
            ),
            (r#"</v2/crew/tags/list?last=b>; rel="prev""#, None),
            ("/v2/crew/tags/list?last=b", None),
            ("", None),
        ] {
            let headers = HeaderMap::from_iter([(LINK, link.parse().unwrap())]);
            assert_eq!(next_page(&asked, &headers).map(String::from).as_deref(), next, "{link}");
        }
    }
}
