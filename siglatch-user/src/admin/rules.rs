//! Users, actions and sequences as an operator sees them: what the configuration says, and what has come of it. Never
//! judges a knock.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// Which users to list.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct UsersQuery {
    /// Only the one with this name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// At most so many; [`UserPage::MAX`], if it is more, or if it says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Only those with higher numbers: where the last page ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u16>,
}

/// Users, as many as a reply takes.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct UserPage {
    /// How many there are that were asked for, `after` aside.
    pub total: usize,
    /// Whether there are more behind these.
    pub more: bool,
    /// The users, by number.
    pub users: Vec<UserEntry>,
}

/// Somebody who may knock.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct UserEntry {
    /// The name.
    pub name: String,
    /// The number in knocks.
    pub id: u16,
    /// Whether this user's knocks are judged at all.
    pub enabled: bool,
    /// When a user that an operator has switched off is on again, in Unix time; nothing: when an operator says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub off_until: Option<u64>,
    /// Whether the daemon itself can be asked for something.
    pub admin: bool,
    /// How many knocks have an effect in all; nothing: any number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uses: Option<u32>,
    /// How many of them are left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uses_left: Option<u32>,
    /// Grants that are open.
    pub grants: usize,
    /// The last knock that was admitted since the daemon started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<LastKnock>,
}

/// A knock that was admitted.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct LastKnock {
    /// When, in Unix time.
    pub at: u64,
    /// Where it came from.
    pub source: IpAddr,
    /// What for.
    pub action: String,
}

/// Every action.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct ActionList {
    /// By number.
    pub actions: Vec<ActionEntry>,
}

/// Something that a knock can ask for.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct ActionEntry {
    /// The name.
    pub name: String,
    /// The number in knocks.
    pub id: u8,
    /// `grant`, `revoke`, `exec`, `builtin` or `step`.
    pub kind: String,
    /// Whether it can be asked for at all.
    pub enabled: bool,
    /// When an action that an operator has switched off is on again, in Unix time; nothing: when an operator says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub off_until: Option<u64>,
    /// Whether it is only told what it would do.
    pub dry_run: bool,
    /// How many users may ask for it.
    pub users: usize,
    /// What it opens, the first of it.
    pub opens: Vec<String>,
    /// The sequence that it is a step of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sequence: Option<String>,
    /// How often it has an effect in all; nothing: any number of times.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uses: Option<u32>,
    /// How many times are left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uses_left: Option<u32>,
    /// Grants of it that are open.
    pub grants: usize,
}

/// Every sequence.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct SequenceList {
    /// In the order of the configuration.
    pub sequences: Vec<SequenceEntry>,
}

/// Actions that must be asked for in order.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct SequenceEntry {
    /// The name.
    pub name: String,
    /// Whether its steps lead anywhere.
    pub enabled: bool,
    /// When a sequence that an operator has switched off is on again, in Unix time; nothing: when an operator says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub off_until: Option<u64>,
    /// The actions, by name.
    pub steps: Vec<String>,
    /// The longest time from the first step to the last, in seconds.
    pub within: u64,
    /// How many are under way.
    pub under_way: usize,
}

impl UserPage {
    /// The most users of one reply.
    pub const MAX: usize = 1000;
}

impl ActionEntry {
    /// What an action opens is told so far.
    pub const OPENS: usize = 16;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_not_said() {
        let user = UserEntry { name: "alice".to_owned(), id: 1, enabled: true, ..UserEntry::default() };
        let text = serde_json::to_string(&user).unwrap();
        assert_eq!(text, r#"{"name":"alice","id":1,"enabled":true,"admin":false,"grants":0}"#);
        assert_eq!(serde_json::from_str::<UserEntry>(&text).unwrap(), user);
    }
}
