//! What `siglatchctl` and the daemon say to each other. Never does IO, and never decides who is let in.

#![forbid(unsafe_code)]

mod bans;
mod debts;
mod debug;
mod grants;
mod known;
mod place;
pub mod protocol;
pub mod reload;
mod roles;
mod rules;
mod status;
mod switch;

pub use bans::{
    BanEntry, BanOrder, BanPage, Banned, BansQuery, Comment, CommentFlaw, Lifted, Sort, UnbanOrder, network_text,
};
pub use debts::{DebtEntry, DebtPage, DebtsQuery};
pub use debug::{DebugEntry, DebugOrder, DebugState, DebugTarget};
pub use grants::{
    ExtendOrder, Extended, GrantEntry, GrantFilter, GrantPage, GrantSpot, GrantView, GrantsQuery, RevokeOrder, Revoked,
};
pub use known::{KnownEntry, KnownPage, KnownQuery};
pub use place::Place;
pub use reload::Reloaded;
pub use roles::{Caller, Roles};
pub use rules::{ActionEntry, ActionList, LastKnock, SequenceEntry, SequenceList, UserEntry, UserPage, UsersQuery};
pub use status::{
    AuditState, Configuration, Count, Frames, Ingress, Interface, KnockCounts, LaneStatus, ListStatus, Lists, Port,
    Privileges, Programs, Refused, RefusedSource, Status,
};
pub use switch::{DisableOrder, Switch, SwitchKind, SwitchTarget, Switched};
