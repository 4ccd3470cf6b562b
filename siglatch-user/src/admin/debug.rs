//! Debugging as an operator asks for it and sees it: whose knocks are told in full. Never decides which are.

use std::net::IpAddr;
use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

/// Somebody whose knocks are told in full: a user or a source, exactly one of both.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DebugTarget {
    /// A user's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// An address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<IpAddr>,
}

/// Tell somebody's knocks in full for a time.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DebugOrder {
    /// Whose.
    pub target: DebugTarget,
    /// For how many seconds; at most [`DebugOrder::LONGEST`].
    #[serde(rename = "for")]
    pub seconds: NonZeroU64,
}

/// Whose knocks are told in full.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct DebugState {
    /// All of them.
    pub told: Vec<DebugEntry>,
}

/// One of them.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct DebugEntry {
    /// Whose knocks.
    #[serde(flatten)]
    pub target: DebugTarget,
    /// Seconds until it ends by itself.
    pub left: u64,
}

impl DebugOrder {
    /// A day, in seconds: nobody wants to find it on a week later.
    pub const LONGEST: u64 = 86_400;
}
