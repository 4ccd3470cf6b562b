//! What an operator takes back, by whose and what it is. Never takes it back.

use siglatch_common::address::Address;

use super::Grant;
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

/// What a revocation has ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Revoked {
    /// Grants that have ended, with the time that they had left.
    pub grants: Vec<Grant>,
    /// How many debts are due now.
    pub debts: usize,
}
