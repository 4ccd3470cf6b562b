//! A grant: one source address, one service, until when. Never opens anything itself.

use std::fmt;
use std::fmt::Display as _;
use std::time::Duration;

use siglatch_common::address::Address;

use crate::policy::{ActionKind, Policy, Service};

/// What a grant is for. Two grants with one key are the same grant, and the longer one counts.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct GrantKey {
    /// Who is let in.
    pub source: Address,
    /// To which host behind this one, of the same IP version; nothing: to this one.
    pub destination: Option<Address>,
    /// To what there.
    pub service: Service,
}

impl GrantKey {
    /// What is opened, as operators write it: `tcp/22`, or `tcp/5432@10.0.0.5` on another host.
    pub fn place(&self) -> impl fmt::Display {
        fmt::from_fn(|f| match self.destination {
            None => self.service.fmt(f),
            Some(destination) => write!(f, "{}@{destination}", self.service),
        })
    }
}

/// A grant as the firewall holds it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Grant {
    /// For whom and what.
    pub key: GrantKey,
    /// Time left; whole milliseconds count.
    pub ttl: Duration,
    /// Whose knock it was and what for, as `user action`: shown beside the element by `nft list set`.
    /// Printable ASCII, at most [`Grant::LABEL_MAX`] bytes.
    pub label: String,
}

impl Grant {
    /// nftables keeps comments of up to 128 bytes, the final zero included.
    pub const LABEL_MAX: usize = 127;
}

/// Whether policy would still let the user of this grant's label open its service with that action.
#[must_use]
pub fn still_allowed(grant: &Grant, policy: &Policy) -> bool {
    is_allowed(&grant.key, &grant.label, policy)
}

/// The same of what a grant is made of.
pub(super) fn is_allowed(key: &GrantKey, label: &str, policy: &Policy) -> bool {
    let Some((user, action)) = label.split_once(' ') else {
        return false;
    };
    let user = policy.user_named(user).filter(|user| user.enabled);
    let (Some(user), Some(action)) = (user, policy.action_named(action)) else {
        return false;
    };
    let opens = match &action.kind {
        ActionKind::Grant(rule) => {
            let is_there = match key.destination {
                None => rule.destinations.is_empty(),
                Some(destination) => rule.destinations.contains(&destination),
            };
            is_there && rule.services.contains(&key.service)
        }
        ActionKind::Step | ActionKind::Revoke(_) | ActionKind::Exec(_) | ActionKind::Builtin(_) => false,
    };
    opens && action.allowed.allows(user.id)
}
