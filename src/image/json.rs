//! Owns the editing of JSON objects: everything that is not edited keeps its order and its bytes.
//!
//! Engines are written in Go, whose decoder accepts a field in any case and uses the last one of several. [`RawObject`] reads and replaces
//! fields in the same way. The keys of a map, such as labels, are compared exactly.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;

/// A JSON object as a list of keys and unparsed values.
#[derive(Debug, Clone, Default)]
pub struct RawObject(Vec<(String, Box<RawValue>)>);

impl RawObject {
    /// Reads an object.
    pub fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }

    /// Reads the object in a field; if it is absent or `null`, the object is empty, and several are merged.
    pub fn inner(&self, field: &str) -> Result<Self, serde_json::Error> {
        let mut merged = RawObject::default();
        for (_, value) in self.0.iter().filter(|(key, _)| is_field(key, field)) {
            merged.0.extend(serde_json::from_str::<Option<RawObject>>(value.get())?.unwrap_or_default().0);
        }
        Ok(merged)
    }

    /// Returns the unparsed value of a field.
    pub fn get(&self, field: &str) -> Option<&RawValue> {
        self.0.iter().rfind(|(key, _)| is_field(key, field)).map(|(_, value)| &**value)
    }

    /// Reads the value of a field.
    pub fn read<'a, T: Deserialize<'a>>(&'a self, field: &str) -> Result<Option<T>, serde_json::Error> {
        self.get(field).map(|value| serde_json::from_str(value.get())).transpose()
    }

    /// Replaces the value of a field in place and spells it as given, or adds the field at the end.
    pub fn set<T: Serialize + ?Sized>(&mut self, field: &str, value: &T) {
        self.replace(field, value, |key| is_field(key, field));
    }

    /// Removes a field, if it is there.
    pub fn remove(&mut self, field: &str) {
        self.0.retain(|(key, _)| !is_field(key, field));
    }

    /// Reads the value of a map's key.
    pub fn read_key<'a, T: Deserialize<'a>>(&'a self, key: &str) -> Result<Option<T>, serde_json::Error> {
        let value = self.0.iter().rfind(|(name, _)| name == key);
        value.map(|(_, value)| serde_json::from_str(value.get())).transpose()
    }

    /// Replaces the value of a map's key in place, or adds the key at the end.
    pub fn set_key<T: Serialize + ?Sized>(&mut self, key: &str, value: &T) {
        self.replace(key, value, |name| name == key);
    }

    /// Removes a map's key, if it is there.
    pub fn remove_key(&mut self, key: &str) {
        self.0.retain(|(name, _)| name != key);
    }

    fn replace<T: Serialize + ?Sized>(&mut self, key: &str, value: &T, is_it: impl Fn(&str) -> bool) {
        let Ok(value) = serde_json::value::to_raw_value(value) else {
            unreachable!("strings, lists and objects with string keys always serialise")
        };
        let at = self.0.iter().position(|(name, _)| is_it(name)).unwrap_or(self.0.len());
        self.0.retain(|(name, _)| !is_it(name));
        self.0.insert(at, (key.to_owned(), value));
    }

    /// Returns the object's JSON.
    pub fn to_bytes(&self) -> Vec<u8> {
        let Ok(bytes) = serde_json::to_vec(self) else {
            unreachable!("an object of unparsed values always serialises")
        };
        bytes
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

/// Tells whether Go's decoder accepts a key as a field: in any case, with Unicode's simple folding.
fn is_field(key: &str, field: &str) -> bool {
    // of the characters beyond ASCII, only these two fold to an ASCII letter
    let fold = |c: char| match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        c => c.to_ascii_lowercase(),
    };
    key == field || key.chars().map(fold).eq(field.chars().map(fold))
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
    fn a_field_is_read_and_replaced_in_any_case_and_the_last_one_counts() {
        let mut object =
            RawObject::parse(br#"{"Env":1,"a":0,"env":2,"\u212aey":3,"c":{"x":1},"C":{"X":2,"y":3}}"#).unwrap();
        assert_eq!(object.read::<u8>("Env").unwrap(), Some(2));
        assert_eq!(object.read::<u8>("key").unwrap(), Some(3));
        let inner = object.inner("c").unwrap();
        assert_eq!((inner.read::<u8>("x").unwrap(), inner.read::<u8>("y").unwrap()), (Some(2), Some(3)));
        object.set("Env", &4);
        object.remove("KEY");
        assert_eq!(serde_json::to_string(&object).unwrap(), r#"{"Env":4,"a":0,"c":{"x":1},"C":{"X":2,"y":3}}"#);
    }

    #[test]
    fn a_map_s_key_counts_as_it_is_written() {
        let mut labels = RawObject::parse(br#"{"a":1,"A":2,"a":3}"#).unwrap();
        assert_eq!(labels.read_key::<u8>("a").unwrap(), Some(3));
        labels.set_key("a", &4);
        assert_eq!(serde_json::to_string(&labels).unwrap(), r#"{"a":4,"A":2}"#);
    }

    #[test]
    fn an_absent_or_null_inner_object_is_empty() {
        let object = RawObject::parse(br#"{"a":null,"b":[]}"#).unwrap();
        assert_eq!(object.inner("a").unwrap().keys().count(), 0);
        assert_eq!(object.inner("x").unwrap().keys().count(), 0);
        assert!(object.inner("b").is_err());
    }
}
