//! What the operator allows: users, actions, sequences, services. Never judges a packet.

mod door;
mod hours;
mod off;
mod period;
mod port_forward;
mod program;
mod service;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::num::NonZeroU32;
use std::time::Duration;

use siglatch_common::address::{Address, Network};
use siglatch_common::wire::v1::{ActionId, UserId};

pub use door::{Door, DoorFlaw};
pub use hours::{Hours, Span, Weekdays};
pub use period::Period;
pub use port_forward::{PortForward, PortForwardFlaw};
pub use program::{Bounds, Program, ProgramId};
pub use service::{Protocol, Service, ServiceFlaw};

/// The operator's rules, as the gate asks for them. However many there are, no question takes longer than a look-up.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// In the order of their numbers.
    users: Vec<User>,
    /// The place in `users` of each number, [`NOBODY`] for those that nobody has: a knock's user is found in one step.
    user_places: Vec<u16>,
    actions: BTreeMap<ActionId, Action>,
    user_names: HashMap<String, UserId>,
    action_names: HashMap<String, ActionId>,
    sequences: Vec<Sequence>,
    /// Sequence and place in it of every action that is a step.
    steps: BTreeMap<ActionId, (usize, usize)>,
    programs: Vec<Program>,
    program_names: HashMap<String, ProgramId>,
    off: off::Off,
    is_dry: bool,
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
    /// Whether actions of [`ActionKind::Builtin`] are open to the user.
    pub admin: bool,
    /// Where the user may knock from; empty: from anywhere.
    pub networks: Vec<Network>,
    /// Outside of it the user's knocks are refused.
    pub period: Period,
    /// How many knocks of the user's have an effect; nothing: any number. Steps of a sequence before its last do not count.
    pub uses: Option<NonZeroU32>,
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
    /// Outside of it knocks for the action are refused.
    pub period: Period,
    /// When in the week it may be asked for; nothing: always.
    pub hours: Option<Hours>,
    /// How often it has an effect, whoever asks for it; nothing: any number of times.
    pub uses: Option<NonZeroU32>,
    /// Everything is judged and told, and nothing done.
    pub dry_run: bool,
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
    /// Ends the user's grants to an address.
    Revoke(RevokeRule),
    /// Starts a program.
    Exec(ExecRule),
    /// Asks the daemon itself for something.
    Builtin(Builtin),
}

/// The grants of one action.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct GrantRule {
    /// What is opened; at least one.
    pub services: Vec<Service>,
    /// Hosts behind this one, whose services these are; empty: this host's own. Each grant is for those of the source's
    /// own IP version.
    pub destinations: Vec<Address>,
    /// For how long, unless the knock asks for another time.
    pub ttl: Duration,
    /// The longest that a knock may ask for.
    pub max_ttl: Duration,
    /// Which address it is opened for.
    pub source: SourceRule,
    /// Runs when what one knock, or several in time, of one user have opened for an address ends; also if somebody else's
    /// knock has kept it open for longer, as that has an undo of its own.
    pub undo: Option<ProgramId>,
}

/// What an action takes back.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RevokeRule {
    /// Whose effects end: actions of [`ActionKind::Grant`], and of [`ActionKind::Exec`] with an undo; at least one.
    pub actions: BTreeSet<ActionId>,
    /// Which address they end for.
    pub source: SourceRule,
}

/// How an action starts a program.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ExecRule {
    /// Which one.
    pub program: ProgramId,
    /// What payloads it takes.
    pub payload: PayloadRule,
    /// Runs when no such knock has come from the same user and address for so long.
    pub undo: Option<Undo>,
}

/// What payloads a program takes.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct PayloadRule {
    /// Printable ASCII only: 0x20 to 0x7e.
    pub require_ascii: bool,
    /// What it must begin with; empty: with anything.
    pub starts_with: Vec<u8>,
}

/// What undoes a program's work.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Undo {
    /// The program that does it.
    pub program: ProgramId,
    /// How long after the last knock.
    pub after: Duration,
}

/// What the daemon can be asked for by a knock.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Builtin {
    /// Read the configuration again.
    Reload,
    /// Write into the log how it is.
    Status,
    /// Write into the log what may be asked for, and by whom.
    ListActions,
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
    /// Puts the rules together. Numbers and names must be unique: the configuration's check sees to it, the last one wins.
    #[must_use]
    pub fn new(users: Vec<User>, actions: Vec<Action>, sequences: Vec<Sequence>, max_skew: Duration) -> Self {
        let users: BTreeMap<_, _> = users.into_iter().map(|user| (user.id, user)).collect();
        let users: Vec<_> = users.into_values().collect();
        Self {
            user_names: users.iter().map(|user| (user.name.clone(), user.id)).collect(),
            action_names: actions.iter().map(|action| (action.name.clone(), action.id)).collect(),
            user_places: places_of(&users),
            users,
            actions: actions.into_iter().map(|action| (action.id, action)).collect(),
            steps: steps_of(&sequences),
            sequences,
            programs: Vec::new(),
            program_names: HashMap::new(),
            off: off::Off::default(),
            is_dry: false,
            max_skew,
        }
    }

    /// The same with programs, which rules name by their place in the list.
    #[must_use]
    pub fn with_programs(mut self, programs: Vec<Program>) -> Self {
        let places = (0..=u16::MAX).map(ProgramId);
        self.program_names = programs.iter().zip(places).map(|(program, id)| (program.name.clone(), id)).collect();
        self.programs = programs;
        self
    }

    /// Has every action only tell what it would have done, and leaves what earlier runs owe to later ones.
    pub fn make_dry(&mut self) {
        self.is_dry = true;
        self.actions.values_mut().for_each(|action| action.dry_run = true);
    }

    /// Whether nothing at all is to be done.
    #[must_use]
    pub const fn is_dry(&self) -> bool {
        self.is_dry
    }

    /// Farthest that a stamp may be from our clock, either way.
    #[must_use]
    pub const fn max_skew(&self) -> Duration {
        self.max_skew
    }

    /// Goes on with another one than the operator's: nonces are remembered for it.
    pub const fn set_max_skew(&mut self, max_skew: Duration) {
        self.max_skew = max_skew;
    }

    /// The user with that number.
    #[must_use]
    pub fn user(&self, id: UserId) -> Option<&User> {
        let place = *self.user_places.get(usize::from(id.0))?;
        self.users.get(usize::from(place)).filter(|user| user.id == id)
    }

    /// The user with that name.
    #[must_use]
    pub fn user_named(&self, name: &str) -> Option<&User> {
        self.user_names.get(name).and_then(|id| self.user(*id))
    }

    /// Every user, by number.
    pub fn users(&self) -> impl Iterator<Item = &User> {
        self.users.iter()
    }

    /// The action with that number.
    #[must_use]
    pub fn action(&self, id: ActionId) -> Option<&Action> {
        self.actions.get(&id)
    }

    /// The action with that name.
    #[must_use]
    pub fn action_named(&self, name: &str) -> Option<&Action> {
        self.action_names.get(name).and_then(|id| self.action(*id))
    }

    /// Every action, by number.
    pub fn actions(&self) -> impl Iterator<Item = &Action> {
        self.actions.values()
    }

    /// Every service that an action may open, with the host behind this one that it is of; nothing: this one's own.
    pub fn opens(&self) -> impl Iterator<Item = (Option<Address>, Service)> {
        let rules = self.actions.values().filter_map(|action| match &action.kind {
            ActionKind::Grant(rule) => Some(rule),
            ActionKind::Step | ActionKind::Revoke(_) | ActionKind::Exec(_) | ActionKind::Builtin(_) => None,
        });
        rules.flat_map(|rule| {
            let here = rule.destinations.is_empty().then_some(None);
            let destinations = here.into_iter().chain(rule.destinations.iter().copied().map(Some));
            destinations.flat_map(|destination| rule.services.iter().map(move |service| (destination, *service)))
        })
    }

    /// Every sequence.
    #[must_use]
    pub fn sequences(&self) -> &[Sequence] {
        &self.sequences
    }

    /// Every program, in the order of their numbers.
    #[must_use]
    pub fn programs(&self) -> &[Program] {
        &self.programs
    }

    /// The program with that number.
    #[must_use]
    pub fn program(&self, id: ProgramId) -> Option<&Program> {
        self.programs.get(usize::from(id.0))
    }

    /// The number of the program with that name.
    #[must_use]
    pub fn program_named(&self, name: &str) -> Option<ProgramId> {
        self.program_names.get(name).copied()
    }

    /// The action's place in a sequence; nothing if it stands alone.
    #[must_use]
    pub fn step(&self, action: ActionId) -> Option<Step<'_>> {
        let (sequence, index) = *self.steps.get(&action)?;
        Some(Step { sequence, of: self.sequences.get(sequence)?, index })
    }
}

impl ActionKind {
    /// The word in the configuration and in logs.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Step => "step",
            Self::Grant(_) => "grant",
            Self::Revoke(_) => "revoke",
            Self::Exec(_) => "exec",
            Self::Builtin(_) => "builtin",
        }
    }
}

impl Builtin {
    /// The word in the configuration and in logs.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Reload => "reload",
            Self::Status => "status",
            Self::ListActions => "list-actions",
        }
    }
}

impl Action {
    /// Whether this user may ever ask for it, as far as it is a matter of who it is.
    #[must_use]
    pub fn is_for(&self, user: &User) -> bool {
        let is_for_admins = matches!(self.kind, ActionKind::Builtin(_));
        self.allowed.allows(user.id) && (user.admin || !is_for_admins)
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

fn places_of(users: &[User]) -> Vec<u16> {
    let numbers = users.last().map_or(0, |last| usize::from(last.id.0) + 1);
    let mut places = vec![NOBODY; numbers];
    for (place, user) in (0..NOBODY).zip(users) {
        if let Some(of_number) = places.get_mut(usize::from(user.id.0)) {
            *of_number = place;
        }
    }
    places
}

/// Of two places of one action, the first counts.
fn steps_of(sequences: &[Sequence]) -> BTreeMap<ActionId, (usize, usize)> {
    let mut steps = BTreeMap::new();
    for (place, sequence) in sequences.iter().enumerate() {
        for (index, action) in sequence.steps.iter().enumerate() {
            steps.entry(*action).or_insert((place, index));
        }
    }
    steps
}

/// No user's place: the configuration takes 65,535 users at most.
const NOBODY: u16 = u16::MAX;
