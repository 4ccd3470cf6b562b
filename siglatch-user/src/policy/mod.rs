//! What the operator allows: users, actions, sequences, services. Never judges a packet.

mod service;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use siglatch_common::address::Network;
use siglatch_common::units::Wall;
use siglatch_common::wire::v1::{ActionId, UserId};

pub use service::{Protocol, Service, ServiceFlaw};

/// The operator's rules, as the gate asks for them.
#[derive(Debug, Default)]
pub struct Policy {
    users: BTreeMap<UserId, User>,
    actions: BTreeMap<ActionId, Action>,
    sequences: Vec<Sequence>,
    /// Farthest that a stamp may be from our clock, either way.
    max_skew: Duration,
}

/// Somebody who may knock.
#[derive(Clone, Debug)]
pub struct User {
    /// The number in the packet.
    pub id: UserId,
    /// The name in logs and on grants.
    pub name: String,
    /// A disabled user's knocks are refused like a stranger's.
    pub enabled: bool,
    /// Where the user may knock from; empty: from anywhere.
    pub networks: Vec<Network>,
    /// From this moment on the user's knocks are refused.
    pub not_after: Option<Wall>,
}

/// Something that a knock can ask for.
#[derive(Clone, Debug)]
pub struct Action {
    /// The number in the packet.
    pub id: ActionId,
    /// The name in logs and on grants.
    pub name: String,
    /// Who may ask for it.
    pub allowed: Allowed,
    /// Where it may be asked for from; empty: from anywhere.
    pub networks: Vec<Network>,
    /// What happens then.
    pub kind: ActionKind,
}

/// Who may ask for an action.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Allowed {
    /// Every user.
    All,
    /// These alone.
    Only(BTreeSet<UserId>),
}

/// What an admitted knock sets off.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ActionKind {
    /// Nothing: it only counts as a step of a sequence.
    Step,
    /// Opens services for an address.
    Grant(GrantRule),
}

/// The grants of one action.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct GrantRule {
    /// What is opened; at least one.
    pub services: Vec<Service>,
    /// For how long, unless the knock asks for another time.
    pub ttl: Duration,
    /// The longest that a knock may ask for.
    pub max_ttl: Duration,
    /// Which address it is opened for.
    pub source: SourceRule,
}

/// Which address a grant is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SourceRule {
    /// The datagram's.
    Packet,
    /// The signed payload names one, and it must be the datagram's: who races the packet from elsewhere gains nothing.
    Match,
    /// The one that the signed payload names.
    Claimed,
}

/// Actions that must be asked for in order. The last one has the effect.
#[derive(Clone, Debug)]
pub struct Sequence {
    /// The name in logs.
    pub name: String,
    /// At least two different actions; no action is in two sequences.
    pub steps: Vec<ActionId>,
    /// Longest time from the first step to the last.
    pub within: Duration,
}

/// Where in which sequence an action stands.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// The place of the sequence in the policy: its name in the gate's table.
    pub sequence: usize,
    /// The sequence itself.
    pub of: &'a Sequence,
    /// 0 for the first.
    pub index: usize,
}

impl Policy {
    /// Puts the rules together. Ids must be unique: the configuration's check sees to it, the last one wins.
    #[must_use]
    pub fn new(users: Vec<User>, actions: Vec<Action>, sequences: Vec<Sequence>, max_skew: Duration) -> Self {
        Self {
            users: users.into_iter().map(|user| (user.id, user)).collect(),
            actions: actions.into_iter().map(|action| (action.id, action)).collect(),
            sequences,
            max_skew,
        }
    }

    /// Farthest that a stamp may be from our clock, either way.
    #[must_use]
    pub const fn max_skew(&self) -> Duration {
        self.max_skew
    }

    /// The user with that number.
    #[must_use]
    pub fn user(&self, id: UserId) -> Option<&User> {
        self.users.get(&id)
    }

    /// Every user, by number.
    pub fn users(&self) -> impl Iterator<Item = &User> {
        self.users.values()
    }

    /// The action with that number.
    #[must_use]
    pub fn action(&self, id: ActionId) -> Option<&Action> {
        self.actions.get(&id)
    }

    /// Every action, by number.
    pub fn actions(&self) -> impl Iterator<Item = &Action> {
        self.actions.values()
    }

    /// Every sequence.
    #[must_use]
    pub fn sequences(&self) -> &[Sequence] {
        &self.sequences
    }

    /// The action's place in a sequence; nothing if it stands alone.
    #[must_use]
    pub fn step(&self, action: ActionId) -> Option<Step<'_>> {
        self.sequences.iter().enumerate().find_map(|(sequence, of)| {
            let index = of.steps.iter().position(|step| *step == action)?;
            Some(Step { sequence, of, index })
        })
    }
}

impl Allowed {
    /// Whether this user may.
    #[must_use]
    pub fn allows(&self, user: UserId) -> bool {
        match self {
            Self::All => true,
            Self::Only(users) => users.contains(&user),
        }
    }
}
