//! Owns the extraction of keys from a secret: exact source text, and distinct errors for a missing key and for what is not JSON.
//!
//! Numbers, booleans, objects and arrays keep their exact source text; only strings are unescaped.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::manifest::reference::Selector;
use crate::secret::SecretBytes;

/// What an error calls an array.
pub const ARRAY: &str = "an array";

/// The selected part of a secret.
pub struct Selection {
    pub bytes: SecretBytes,
    /// A key on the way to it that its object has more than once.
    pub repeated_key: Option<String>,
}

/// Why a key has no value. It contains names of keys, never a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SelectError {
    NotJson,
    /// A `\u` escape of half a character.
    LoneSurrogate {
        /// As in the JSON: half a character says nothing about the value.
        escape: String,
        /// From 1, in the secret's text.
        line: usize,
        /// From 1, in characters.
        column: usize,
    },
    /// JSON, but not an object where one is needed; for a pointer, not an array either.
    NotAnObject {
        found: &'static str,
    },
    /// The keys that exist there.
    NoKey {
        keys: Vec<String>,
    },
    Null,
}

/// Returns the selected part of a secret.
pub fn select(secret: &SecretBytes, selector: &Selector) -> Result<Selection, SelectError> {
    let tokens: Vec<String> = match selector {
        Selector::Whole => return Ok(Selection { bytes: secret.clone(), repeated_key: None }),
        Selector::Key(key) => vec![key.clone()],
        Selector::Pointer(pointer) => {
            pointer.split('/').skip(1).map(|token| token.replace("~1", "/").replace("~0", "~")).collect()
        }
    };
    let text = json_text(secret)?;
    let selected = || {
        let mut value: &RawValue = serde_json::from_str(text).map_err(|_| SelectError::NotJson)?;
        let mut repeated_key = None;
        for token in tokens {
            let repeated;
            (value, repeated) = member(value, &token, selector)?;
            repeated_key = repeated_key.or(repeated.then_some(token));
        }
        Ok(Selection { bytes: text_of(value)?, repeated_key })
    };
    selected().map_err(|error| match error {
        SelectError::NotJson => not_json(text),
        error => error,
    })
}

/// A key of a secret with its value.
pub struct Member {
    pub key: String,
    pub value: Result<SecretBytes, SelectError>,
}

/// The keys of a secret, each once, sorted.
pub struct Members {
    pub members: Vec<Member>,
    /// The first key that the object has more than once.
    pub repeated_key: Option<String>,
}

/// Splits a secret, or the selected part of it, into its top-level keys.
pub fn members(secret: &SecretBytes, selector: &Selector) -> Result<Members, SelectError> {
    let Selection { bytes, repeated_key } = select(secret, selector)?;
    let text = json_text(&bytes)?;
    let value: &RawValue = serde_json::from_str(text).map_err(|_| not_json(text))?;
    let JsonKind::Object = kind(value) else { return Err(SelectError::NotAnObject { found: kind(value).name() }) };
    let JsonEntries(entries) = serde_json::from_str(value.get()).map_err(|_| not_json(text))?;
    let mut last: BTreeMap<String, &RawValue> = BTreeMap::new();
    let mut repeated_key = repeated_key;
    for (key, value) in entries {
        if last.insert(key.clone(), value).is_some() {
            repeated_key = repeated_key.or(Some(key));
        }
    }
    let members = last.into_iter().map(|(key, value)| Member { key, value: text_of(value) }).collect();
    Ok(Members { members, repeated_key })
}

/// Returns the selector of a key in the part that another selector selects.
pub fn member_selector(of: &Selector, key: &str) -> Selector {
    let escaped = |key: &str| key.replace('~', "~0").replace('/', "~1");
    match of {
        Selector::Whole if key.starts_with('/') => Selector::Pointer(format!("/{}", escaped(key))),
        Selector::Whole => Selector::Key(key.to_owned()),
        Selector::Key(outer) => Selector::Pointer(format!("/{}/{}", escaped(outer), escaped(key))),
        Selector::Pointer(outer) => Selector::Pointer(format!("{outer}/{}", escaped(key))),
    }
}

fn json_text(secret: &SecretBytes) -> Result<&str, SelectError> {
    let text = std::str::from_utf8(secret.expose()).map_err(|_| SelectError::NotJson)?;
    Ok(text.trim_start_matches('\u{feff}'))
}

/// Returns why serde cannot parse a text.
fn not_json(text: &str) -> SelectError {
    lone_surrogate(text).unwrap_or(SelectError::NotJson)
}

/// Finds the first `\u` escape of half a character, in the order of the text.
fn lone_surrogate(text: &str) -> Option<SelectError> {
    let unit = |at: usize| {
        let digits = text.get(at..)?.strip_prefix("\\u")?.get(..4)?;
        u32::from_str_radix(digits, 16).ok().map(|unit| (digits, unit))
    };
    let mut at = 0;
    while let Some(found) = text.get(at..)?.find('\\') {
        at += found;
        match unit(at) {
            Some((_, 0xd800..=0xdbff)) if unit(at + 6).is_some_and(|(_, low)| (0xdc00..=0xdfff).contains(&low)) => {
                at += 12
            }
            Some((digits, 0xd800..=0xdfff)) => {
                let before = text.get(..at)?;
                let line = before.matches('\n').count() + 1;
                let column = before.rsplit('\n').next()?.chars().count() + 1;
                return Some(SelectError::LoneSurrogate { escape: format!("\\u{digits}"), line, column });
            }
            // a backslash and what it escapes, which is ASCII in JSON
            _ => at += 2,
        }
    }
    None
}

/// Returns a member of an object, or for a pointer an item of an array: like most readers, the last of several with the same name. Tells
/// whether there are several.
fn member<'a>(value: &'a RawValue, key: &str, selector: &Selector) -> Result<(&'a RawValue, bool), SelectError> {
    match kind(value) {
        JsonKind::Object => {
            let object: JsonEntries<'_> = serde_json::from_str(value.get()).map_err(|_| SelectError::NotJson)?;
            let mut found = object.0.iter().rev().filter(|(name, _)| name == key).map(|(_, value)| *value);
            let last = found.next().map(|value| (value, found.next().is_some()));
            last.ok_or_else(|| SelectError::NoKey { keys: object.names() })
        }
        JsonKind::Array if matches!(selector, Selector::Pointer(_)) => {
            let items: Vec<&RawValue> = serde_json::from_str(value.get()).map_err(|_| SelectError::NotJson)?;
            let is_index = key == "0" || (!key.starts_with('0') && key.bytes().all(|b| b.is_ascii_digit()));
            let index = is_index.then(|| key.parse::<usize>().ok()).flatten();
            let item = index.and_then(|index| items.get(index).copied());
            item.map(|item| (item, false))
                .ok_or_else(|| SelectError::NoKey { keys: (0..items.len().min(10)).map(|i| i.to_string()).collect() })
        }
        kind => Err(SelectError::NotAnObject { found: kind.name() }),
    }
}

fn text_of(value: &RawValue) -> Result<SecretBytes, SelectError> {
    match kind(value) {
        JsonKind::Null => Err(SelectError::Null),
        JsonKind::String => {
            let text: Cow<'_, str> = unescape(value)?;
            Ok(SecretBytes::from(text.into_owned()))
        }
        _ => Ok(SecretBytes::new(value.get().as_bytes().to_vec())),
    }
}

fn unescape(value: &RawValue) -> Result<Cow<'_, str>, SelectError> {
    // borrowed if nothing is escaped, so that most values are copied once, into wiped memory
    match serde_json::from_str::<&str>(value.get()) {
        Ok(text) => Ok(Cow::Borrowed(text)),
        Err(_) => serde_json::from_str::<String>(value.get()).map(Cow::Owned).map_err(|_| SelectError::NotJson),
    }
}

/// An object's members in their order.
struct JsonEntries<'a>(Vec<(String, &'a RawValue)>);

impl JsonEntries<'_> {
    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.0.iter().map(|(name, _)| name.clone()).collect();
        names.sort();
        names.dedup();
        names
    }
}

impl<'de: 'a, 'a> serde::Deserialize<'de> for JsonEntries<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Visitor).map(JsonEntries)
    }
}

#[derive(Clone, Copy)]
enum JsonKind {
    Object,
    Array,
    String,
    Number,
    Boolean,
    Null,
}

impl JsonKind {
    fn name(self) -> &'static str {
        match self {
            JsonKind::Object => "an object",
            JsonKind::Array => ARRAY,
            JsonKind::String => "a string",
            JsonKind::Number => "a number",
            JsonKind::Boolean => "a boolean",
            JsonKind::Null => "null",
        }
    }
}

fn kind(value: &RawValue) -> JsonKind {
    match value.get().as_bytes().first() {
        Some(b'{') => JsonKind::Object,
        Some(b'[') => JsonKind::Array,
        Some(b'"') => JsonKind::String,
        Some(b't' | b'f') => JsonKind::Boolean,
        Some(b'n') => JsonKind::Null,
        _ => JsonKind::Number,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::reference::Reference;

    fn selected(secret: &str, key: &str) -> Result<String, SelectError> {
        let selector = Reference::parse(&format!("s#{key}")).unwrap().selector;
        let value = select(&SecretBytes::from(secret.to_owned()), &selector)?.bytes;
        Ok(String::from_utf8(value.expose().to_vec()).unwrap())
    }

    fn value(secret: &str, key: &str) -> String {
        selected(secret, key).unwrap()
    }

    #[test]
    fn a_string_is_taken_as_it_is_and_everything_else_as_its_source_text() {
        let secret = r#"{"s":"a\n\"b\" é \u00e9","n":1.10,"big":12345678901234567890123,"t":true,"o":{ "x": 1 },"l":[1, 2],"e":""}"#;
        assert_eq!(value(secret, "s"), "a\n\"b\" é é");
        assert_eq!(value(secret, "n"), "1.10");
        assert_eq!(value(secret, "big"), "12345678901234567890123");
        assert_eq!(value(secret, "t"), "true");
        assert_eq!(value(secret, "o"), r#"{ "x": 1 }"#);
        assert_eq!(value(secret, "l"), "[1, 2]");
        assert_eq!(value(secret, "e"), "");
    }

    #[test]
    fn a_key_is_literal_and_a_pointer_goes_deep() {
        let secret = r#"{"a.b":"dot","a-b":"dash","a":{"b":["x",{"/~":"deep"}]},"d":1,"d":2}"#;
        assert_eq!(value(secret, "a.b"), "dot");
        assert_eq!(value(secret, "a-b"), "dash");
        assert_eq!(value(secret, "/a/b/0"), "x");
        assert_eq!(value(secret, "/a/b/1/~1~0"), "deep");
        assert_eq!(value(secret, "d"), "2");
    }

    #[test]
    fn what_is_not_there_has_an_error_of_its_own() {
        let keys = |keys: &[&str]| SelectError::NoKey { keys: keys.iter().map(|key| (*key).to_owned()).collect() };
        assert_eq!(selected("plain text", "a"), Err(SelectError::NotJson));
        assert_eq!(selected("", "a"), Err(SelectError::NotJson));
        assert_eq!(selected("{\"a\":1} x", "a"), Err(SelectError::NotJson));
        assert_eq!(selected("[1]", "0"), Err(SelectError::NotAnObject { found: "an array" }));
        assert_eq!(selected("[1]", "/a"), Err(keys(&["0"])));
        assert_eq!(selected("\"text\"", "a"), Err(SelectError::NotAnObject { found: "a string" }));
        assert_eq!(selected("12", "a"), Err(SelectError::NotAnObject { found: "a number" }));
        assert_eq!(selected("true", "a"), Err(SelectError::NotAnObject { found: "a boolean" }));
        assert_eq!(selected("false", "a"), Err(SelectError::NotAnObject { found: "a boolean" }));
        assert_eq!(selected(r#"{"b":1,"a":2}"#, "c"), Err(keys(&["a", "b"])));
        assert_eq!(selected(r#"{"a":[]}"#, "/a/00"), Err(keys(&[])));
        assert_eq!(selected("[1, 2]", "/01"), Err(keys(&["0", "1"])));
        assert_eq!(selected(r#"{"a":null}"#, "a"), Err(SelectError::Null));
    }

    fn keys_of(secret: &str, reference: &str) -> Result<Vec<(String, String)>, SelectError> {
        let selector = Reference::parse(reference).unwrap().selector;
        let members = members(&SecretBytes::from(secret.to_owned()), &selector)?.members.into_iter();
        let text = |value: SecretBytes| String::from_utf8(value.expose().to_vec()).unwrap();
        members.map(|member| Ok((member.key, member.value.map_or_else(|error| format!("{error:?}"), text)))).collect()
    }

    #[test]
    fn an_object_is_taken_apart_into_its_keys() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let secret = r#"{"b":"x\ny","a":1.10,"o":{"k":"v","l":[1, 2]},"n":null,"a":"last"}"#;
        let all = vec![pair("a", "last"), pair("b", "x\ny"), pair("n", "Null"), pair("o", r#"{"k":"v","l":[1, 2]}"#)];
        assert_eq!(keys_of(secret, "s"), Ok(all));
        assert_eq!(keys_of(secret, "s#o"), Ok(vec![pair("k", "v"), pair("l", "[1, 2]")]));
        assert_eq!(keys_of(secret, "s#b"), Err(SelectError::NotJson));
        assert_eq!(keys_of("[1]", "s"), Err(SelectError::NotAnObject { found: "an array" }));
        assert_eq!(keys_of("text", "s"), Err(SelectError::NotJson));
        assert_eq!(keys_of("{}", "s"), Ok(Vec::new()));
    }

    #[test]
    fn the_selector_of_a_member_selects_it() {
        let secret = SecretBytes::from(r#"{"/a~":"1","o":{"/b~":"2"},"c":"3"}"#.to_owned());
        for (of, key, value) in [("s", "/a~", "1"), ("s#o", "/b~", "2"), ("s#/o", "/b~", "2"), ("s", "c", "3")] {
            let selector = member_selector(&Reference::parse(of).unwrap().selector, key);
            assert!(select(&secret, &selector).ok().unwrap().bytes.expose() == value.as_bytes(), "{of} {key}");
        }
        // as it is written in a reference
        assert_eq!(member_selector(&Selector::Whole, "/a~"), Reference::parse("s#/~1a~0").unwrap().selector);
    }

    #[test]
    fn half_a_character_is_named_with_its_place_and_without_the_value() {
        let lone = |escape: &str, line, column| SelectError::LoneSurrogate { escape: escape.to_owned(), line, column };
        assert_eq!(selected("{\"a\":\"x\",\n \"é\":\"\\ud800\"}", "é"), Err(lone("\\ud800", 2, 7)));
        assert_eq!(selected(r#"{"a":"\ud83d\ude00\uDE00"}"#, "a"), Err(lone(r"\uDE00", 1, 19)));
        assert_eq!(selected(r#"{"a":"\\ud800","b":"\ud800x"}"#, "b"), Err(lone(r"\ud800", 1, 21)));
        assert_eq!(value(r#"{"a":"\ud83d\ude00\\ud800"}"#, "a"), "😀\\ud800");
        assert_eq!(selected(r#"{"a":"\"#, "a"), Err(SelectError::NotJson));
    }

    #[test]
    fn a_key_that_is_there_twice_is_named_on_the_way_to_the_value() {
        let repeated = |key: &str| {
            let selector = Reference::parse(&format!("s#{key}")).unwrap().selector;
            let secret = r#"{"d":1,"d":{"e":2},"f":[{"g":1,"g":2}],"h":3}"#;
            select(&SecretBytes::from(secret.to_owned()), &selector).ok().unwrap().repeated_key
        };
        assert_eq!(repeated("d").as_deref(), Some("d"));
        assert_eq!(repeated("/d/e").as_deref(), Some("d"));
        assert_eq!(repeated("/f/0/g").as_deref(), Some("g"));
        assert_eq!(repeated("h"), None);
    }

    #[test]
    fn deep_nesting_ends() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(value(&deep, "a").len(), 200_000);
        assert_eq!(value(&deep, &format!("/a{}", "/0".repeat(1_000))).len(), 198_000);
    }
}
