//! Owns the parsing of `WWW-Authenticate`.

/// The authorization that a registry asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Challenge {
    /// The login itself.
    Basic,
    /// A token, which another service gives for the login.
    Bearer { realm: String, service: Option<String> },
}

impl Challenge {
    /// Parses the values of the header; a bearer token takes precedence over the login itself.
    pub fn read<'a>(values: impl Iterator<Item = &'a str>) -> Option<Self> {
        let all: Vec<Challenge> = values.filter_map(Challenge::one).collect();
        let bearer = all.iter().find(|challenge| matches!(challenge, Challenge::Bearer { .. }));
        bearer.or(all.first()).cloned()
    }

    fn one(value: &str) -> Option<Self> {
        let (scheme, rest) = value.trim().split_once(' ').unwrap_or((value.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Challenge::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let parameters = parameters(rest);
        let find =
            |name: &str| parameters.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, v)| v.clone());
        Some(Challenge::Bearer { realm: find("realm")?, service: find("service") })
    }
}

/// Why a registry refuses a token, as RFC 6750 has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenRefusal {
    /// It lacks the permission.
    LacksScope,
    /// It has expired, or this registry did not issue it.
    Invalid,
    Unsaid,
}

impl TokenRefusal {
    /// Parses the values of the header.
    pub fn read<'a>(values: impl Iterator<Item = &'a str>) -> Self {
        let mut errors = values.flat_map(|value| parameters(value.trim().split_once(' ').unwrap_or_default().1));
        let error = errors.find(|(key, _)| key.eq_ignore_ascii_case("error")).map(|(_, error)| error);
        match error.as_deref() {
            Some("insufficient_scope") => TokenRefusal::LacksScope,
            Some("invalid_token") => TokenRefusal::Invalid,
            _ => TokenRefusal::Unsaid,
        }
    }
}

/// Reads `key="value", key=value`.
fn parameters(mut rest: &str) -> Vec<(String, String)> {
    let mut all = Vec::new();
    while let Some((key, after)) = rest.split_once('=') {
        let key = key.trim_matches([' ', ',']).to_owned();
        let mut value = String::new();
        if let Some(quoted) = after.strip_prefix('"') {
            let mut characters = quoted.char_indices();
            let mut end = quoted.len();
            while let Some((at, c)) = characters.next() {
                match c {
                    '"' => {
                        end = at + 1;
                        break;
                    }
                    '\\' => value.extend(characters.next().map(|(_, c)| c)),
                    c => value.push(c),
                }
            }
            rest = &quoted[end..];
        } else {
            let end = after.find(',').unwrap_or(after.len());
            value.push_str(after[..end].trim());
            rest = &after[end..];
        }
        all.push((key, value));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_read_in_every_form() {
        let bearer = |realm: &str, service: Option<&str>| {
            Some(Challenge::Bearer { realm: realm.to_owned(), service: service.map(str::to_owned) })
        };
        for (header, challenge) in [
            (r#"Basic realm="x""#, Some(Challenge::Basic)),
            (
                r#"bearer realm="https://a/t",service="s, \"t\"",scope="x:y:pull,push""#,
                bearer("https://a/t", Some(r#"s, "t""#)),
            ),
            ("Bearer service=s, realm=https://a/t", bearer("https://a/t", Some("s"))),
            ("Bearer service=s", None),
            (r#"Bearer realm="unfinished"#, bearer("unfinished", None)),
            ("Negotiate", None),
            ("", None),
        ] {
            assert_eq!(Challenge::read([header].into_iter()), challenge, "{header}");
        }
        assert_eq!(Challenge::read(["Basic", "Bearer realm=r"].into_iter()), bearer("r", None));
    }

    #[test]
    fn a_token_that_is_refused_lacks_a_permission_or_is_invalid() {
        let read = |error: &str| TokenRefusal::read(["Basic", &format!("Bearer realm=\"r\",{error}")].into_iter());
        assert_eq!(read("error=\"insufficient_scope\",scope=\"a:b\""), TokenRefusal::LacksScope);
        assert_eq!(read("error=invalid_token"), TokenRefusal::Invalid);
        assert_eq!((read("error=\"other\""), read("")), (TokenRefusal::Unsaid, TokenRefusal::Unsaid));
    }
}
