//! What a knock would have carried, for people and programs. Never holds the HMAC, so it cannot print it.

use std::fmt;

use serde::ser::{Serialize, SerializeMap as _, Serializer};
use siglatch_common::wire::v1::{PAYLOAD_MAX, VERSION};

use crate::knocker::Knock;

/// A knock, field by field.
#[derive(Clone, Copy, Debug)]
pub struct Decoded<'a> {
    /// The knock.
    pub knock: &'a Knock,
    /// The user's name, where there is a profile.
    pub user: Option<&'a str>,
    /// The action's name, where there is a profile.
    pub action: Option<&'a str>,
}

impl Decoded<'_> {
    fn payload(&self) -> String {
        self.knock.payload.as_bytes().escape_ascii().to_string()
    }
}

impl fmt::Display for Decoded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Knock { user, action, payload, timestamp, challenge } = self.knock;
        let named = |name: Option<&str>| name.map(|name| format!(" ({name})")).unwrap_or_default();
        let len = payload.as_bytes().len();
        writeln!(f, "  version    {VERSION}")?;
        writeln!(f, "  timestamp  {timestamp}")?;
        writeln!(f, "  user       {}{}", user.0, named(self.user))?;
        writeln!(f, "  action     {}{}", action.0, named(self.action))?;
        writeln!(f, "  challenge  {challenge:#010x}")?;
        writeln!(f, "  hmac       present")?;
        writeln!(f, "  payload    {len} bytes: \"{}\"", self.payload())?;
        write!(f, "  padding    {} zero bytes", PAYLOAD_MAX - len)
    }
}

impl Serialize for Decoded<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Knock { user, action, payload, timestamp, challenge } = self.knock;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("version", &VERSION)?;
        map.serialize_entry("timestamp", timestamp)?;
        map.serialize_entry("user_id", &user.0)?;
        map.serialize_entry("action_id", &action.0)?;
        map.serialize_entry("challenge", challenge)?;
        map.serialize_entry("hmac", "present")?;
        map.serialize_entry("payload_len", &payload.as_bytes().len())?;
        map.serialize_entry("payload", &self.payload())?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use siglatch_common::wire::v1::{ActionId, Payload, UserId};

    #[test]
    fn every_field_is_shown_and_the_payload_cannot_move_the_cursor() {
        let knock = Knock {
            user: UserId(7),
            action: ActionId(1),
            payload: Payload::new(b"ttl=10m \x1b[2J\"").unwrap(),
            timestamp: 1_700_000_000,
            challenge: 0x0102_0304,
        };
        let decoded = Decoded { knock: &knock, user: Some("alice"), action: None };
        let expected = r#"  version    1
  timestamp  1700000000
  user       7 (alice)
  action     1
  challenge  0x01020304
  hmac       present
  payload    13 bytes: "ttl=10m \x1b[2J\""
  padding    186 zero bytes"#;
        assert_eq!(decoded.to_string(), expected);
        let json = serde_json::to_value(decoded).unwrap();
        assert_eq!(json["payload"], r#"ttl=10m \x1b[2J\""#);
        assert_eq!(json["hmac"], "present");
    }
}
