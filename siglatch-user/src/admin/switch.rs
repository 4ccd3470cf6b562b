//! What an operator switches off and on while the daemon runs. Never decides what comes of it.

use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

/// What kind of thing can be switched off.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SwitchKind {
    /// A user.
    User,
    /// An action.
    Action,
    /// A knock port.
    Port,
    /// A sequence.
    Sequence,
}

/// Something that can be switched off.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SwitchTarget {
    /// What kind of thing it is.
    pub kind: SwitchKind,
    /// Its name; the number of a port.
    pub name: String,
}

/// Switch something off.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DisableOrder {
    /// What.
    pub target: SwitchTarget,
    /// For so many seconds.
    #[serde(rename = "for", default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<NonZeroU64>,
    /// Until this moment, in Unix time. Without both, until it is switched on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
    /// Whether grants end that came of it: a user's, or an action's.
    #[serde(default, skip_serializing_if = "is_false")]
    pub end_grants: bool,
    /// Whether the established connections of those grants are cut as well.
    #[serde(default, skip_serializing_if = "is_false")]
    pub cut: bool,
}

/// Something that is switched off.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Switch {
    /// What.
    #[serde(flatten)]
    pub target: SwitchTarget,
    /// Until when, in Unix time; nothing: until it is switched on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
}

/// What has become of switching something on or off.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Switched {
    /// What.
    #[serde(flatten)]
    pub target: SwitchTarget,
    /// Whether it is on.
    pub enabled: bool,
    /// When it is on again, in Unix time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
    /// Whether that is new.
    pub changed: bool,
    /// Grants that have ended.
    #[serde(default)]
    pub grants: usize,
    /// Connections that were cut; nothing if none were to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<usize>,
    /// What the operator should know about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl SwitchKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::User, Self::Action, Self::Port, Self::Sequence];

    /// The word for it.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Action => "action",
            Self::Port => "port",
            Self::Sequence => "sequence",
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_false(is: &bool) -> bool {
    !is
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_stands_beside_what_it_is_of() {
        let target = SwitchTarget { kind: SwitchKind::Port, name: "62201".to_owned() };
        let switch = Switch { target, until: Some(1_900_000_000) };
        let text = serde_json::to_string(&switch).unwrap();
        assert_eq!(text, r#"{"kind":"port","name":"62201","until":1900000000}"#);
        assert_eq!(serde_json::from_str::<Switch>(&text).unwrap(), switch);
        for kind in SwitchKind::ALL {
            assert_eq!(serde_json::to_string(&kind).unwrap(), format!("\"{}\"", kind.label()));
        }
    }
}
