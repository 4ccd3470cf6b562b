//! The small file that an operator hands to a user, and that becomes the user's profile.
//! Fixes its fields; never reads or writes the file.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroize as _;

/// Everything that a client must know of one gateway. TOML, mode 0600: it holds keys.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Enrolment {
    /// Version of this file's form; 1.
    pub siglatch: u8,
    /// What the user calls the gateway: a short name, also the profile's file name.
    pub gateway: String,
    /// Name or address that knocks are sent to.
    pub host: String,
    /// UDP port of the knock port.
    pub port: u16,
    /// `sealed`, `stamped` or `clear`, see [`crate::wire::Wire::label`].
    pub wire: String,
    /// SPKI PEM.
    pub server_key: String,
    /// What stamps are made with; there exactly if the wire is `stamped`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate_key: Option<EnrolledGateKey>,
    /// Whom the gateway takes the bearer for.
    pub user: EnrolledUser,
    /// What the user may ask for, by name.
    #[serde(default)]
    pub action: BTreeMap<String, EnrolledAction>,
    /// Names of actions that must be knocked in this order, by the sequence's name.
    #[serde(default)]
    pub sequence: BTreeMap<String, Vec<String>>,
}

/// A gate key: every client that is enrolled with it has the same.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct EnrolledGateKey {
    /// Its number at the gateway, below [`crate::stamp::GATE_KEYS`].
    pub number: u8,
    /// 32 hex digits; wiped when dropped.
    pub key: String,
}

/// The user's own part.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct EnrolledUser {
    /// The operator's name for the user.
    pub name: String,
    /// See [`crate::wire::v1::UserId`].
    pub id: u16,
    /// 64 hex digits; wiped when dropped.
    pub key: String,
}

/// One action.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct EnrolledAction {
    /// See [`crate::wire::v1::ActionId`].
    pub id: u8,
    /// Whether the signed payload must name the address that the grant is for: `packet` (no), `match` or `claimed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// The only version of the file's form.
pub const ENROLMENT_VERSION: u8 = 1;

impl fmt::Debug for Enrolment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Enrolment({} at {})", self.user.name, self.gateway)
    }
}

impl Drop for EnrolledGateKey {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

impl fmt::Debug for EnrolledGateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EnrolledGateKey({})", self.number)
    }
}

impl Drop for EnrolledUser {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

impl fmt::Debug for EnrolledUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EnrolledUser({})", self.name)
    }
}
