//! What an operator takes back, by whose and what it is. Never takes it back.

use siglatch_common::address::Address;

use super::debts::Kind;
use super::{Grant, GrantKey};
use crate::policy::Service;

/// Which effects of knocks end: those for which all that is said here is true.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Revocation {
    /// For this address.
    pub source: Option<Address>,
    /// Of the user with this name.
    pub user: Option<String>,
    /// Of the action with this name.
    pub action: Option<String>,
    /// To this service. What programs have done is to none.
    pub service: Option<Service>,
}

impl Revocation {
    /// Whether it means the grant with that key and label.
    pub(super) fn means(&self, key: &GrantKey, label: &str) -> bool {
        let (user, action) = label.split_once(' ').unwrap_or((label, ""));
        self.service.is_none_or(|service| service == key.service) && self.means_knocks(key.source, user, action)
    }

    /// Whether it means all that a user's knocks for an action have done for an address.
    pub(super) fn means_all(&self, kind: &Kind) -> bool {
        self.service.is_none() && self.means_knocks(kind.source, &kind.user, &kind.action)
    }

    fn means_knocks(&self, source: Address, user: &str, action: &str) -> bool {
        self.source.is_none_or(|meant| meant == source)
            && self.user.as_deref().is_none_or(|meant| meant == user)
            && self.action.as_deref().is_none_or(|meant| meant == action)
    }
}

/// What a revocation has ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Revoked {
    /// Grants that have ended, with the time that they had left.
    pub grants: Vec<Grant>,
    /// How many debts are due now.
    pub debts: usize,
}
