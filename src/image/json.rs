//! Owns the editing of JSON objects in which everything that is not edited keeps its order and its bytes.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;

/// A JSON object as a list of keys and unparsed values.
#[derive(Debug, Clone, Default)]
pub struct RawObject(Vec<(String, Box<RawValue>)>);

impl RawObject {
    /// Reads an object.
    ///
    /// # Errors
    /// `serde_json`'s, if the bytes are not one JSON object.
    pub fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }

    /// Reads an object that stands in another; `null` and absence are the empty object.
    ///
    /// # Errors
    /// `serde_json`'s, if it is something else.
    pub fn inner(&self, key: &str) -> Result<Self, serde_json::Error> {
        Ok(self.read::<Option<RawObject>>(key)?.flatten().unwrap_or_default())
    }

    /// Returns the unparsed value of a key.
    pub fn get(&self, key: &str) -> Option<&RawValue> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| &**value)
    }

    /// Reads the value of a key; `None` if there is no such key.
    ///
    /// # Errors
    /// `serde_json`'s, if the value is not of this type.
    pub fn read<'a, T: Deserialize<'a>>(&'a self, key: &str) -> Result<Option<T>, serde_json::Error> {
        self.get(key).map(|value| serde_json::from_str(value.get())).transpose()
    }

    /// Replaces the value of a key where it stands, or adds the key at the end.
    pub fn set<T: Serialize + ?Sized>(&mut self, key: &str, value: &T) {
        let Ok(value) = serde_json::value::to_raw_value(value) else {
            unreachable!("strings, lists and objects with string keys always serialise")
        };
        match self.0.iter_mut().find(|(name, _)| name == key) {
            Some((_, old)) => *old = value,
            None => self.0.push((key.to_owned(), value)),
        }
    }

    /// Takes a key out, if it is there.
    pub fn remove(&mut self, key: &str) {
        self.0.retain(|(name, _)| name != key);
    }

    /// Returns the keys in their order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(key, _)| key.as_str())
    }

    /// Returns the keys and unparsed values in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &RawValue)> {
        self.0.iter().map(|(key, value)| (key.as_str(), &**value))
    }
}

impl<'de> Deserialize<'de> for RawObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = RawObject;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawObject, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(RawObject(entries))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

impl Serialize for RawObject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::RawObject;

    #[test]
    fn what_is_not_edited_keeps_its_order_and_bytes() {
        let text = r#"{"z":1.10,"a":"\u003cb\u003e","m":{ "x" : [ 1 ] },"n":null}"#;
        let mut object = RawObject::parse(text.as_bytes()).unwrap();
        assert_eq!(serde_json::to_string(&object).unwrap(), text);
        object.set("a", "c");
        object.set("new", &[1]);
        assert_eq!(
            serde_json::to_string(&object).unwrap(),
            r#"{"z":1.10,"a":"c","m":{ "x" : [ 1 ] },"n":null,"new":[1]}"#
        );
    }

    #[test]
    fn an_absent_or_null_inner_object_is_empty() {
        let object = RawObject::parse(br#"{"a":null,"b":[]}"#).unwrap();
        assert_eq!(object.inner("a").unwrap().keys().count(), 0);
        assert_eq!(object.inner("x").unwrap().keys().count(), 0);
        assert!(object.inner("b").is_err());
    }
}
