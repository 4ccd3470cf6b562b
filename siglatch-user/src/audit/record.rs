//! A record as it is read again: its fields, in the order in which they were written. Never says whether it is genuine.

use std::fmt;

use jiff::Timestamp;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use siglatch_common::address::Network;

/// The fields of a record, whichever version of the schema it is of.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record(Vec<(String, Value)>);

impl Record {
    /// The fields of a line; nothing if it is no JSON object.
    #[must_use]
    pub fn parse(line: &[u8]) -> Option<Self> {
        serde_json::from_slice(line).ok()
    }

    /// A record of these fields.
    pub fn of<'a>(fields: impl Iterator<Item = (&'a str, &'a Value)>) -> Self {
        Self(fields.map(|(name, value)| (name.to_owned(), value.clone())).collect())
    }

    /// The fields in their order.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// A field.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(of, _)| of == name).map(|(_, value)| value)
    }

    /// A field that is a text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.field(name)?.as_str()
    }

    /// A field that is a number.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<u64> {
        self.field(name)?.as_u64()
    }

    /// Whom it is about: an address, or a network.
    #[must_use]
    pub fn source(&self) -> Option<Network> {
        self.text("source")?.parse().ok()
    }

    /// When it happened: microseconds since the Unix epoch.
    #[must_use]
    pub fn micros(&self) -> Option<i64> {
        self.text("time")?.parse::<Timestamp>().ok().map(Timestamp::as_microsecond)
    }
}

impl<'de> Deserialize<'de> for Record {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Fields)
    }
}

struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Record;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Record, A::Error> {
        let mut fields = Vec::with_capacity(16);
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(Record(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_keep_their_order() {
        let record =
            Record::parse(br#"{"z":1,"a":"x","source":"192.0.2.7","time":"1970-01-01T00:00:01.000002Z"}"#).unwrap();
        assert_eq!(record.fields().map(|(name, _)| name).collect::<Vec<_>>(), ["z", "a", "source", "time"]);
        assert_eq!((record.number("z"), record.text("a"), record.text("z")), (Some(1), Some("x"), None));
        assert_eq!(record.source(), Some("192.0.2.7".parse().unwrap()));
        assert_eq!(record.micros(), Some(1_000_002));
        for nothing in ["", "[]", "7", "{", "{\"a\":1} x"] {
            assert_eq!(Record::parse(nothing.as_bytes()), None);
        }
    }
}
