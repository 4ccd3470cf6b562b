//! What `siglatchctl` and the daemon say to each other. Never does IO, and never decides who is let in.

#![forbid(unsafe_code)]

mod bans;
mod debug;
pub mod protocol;
mod status;

pub use bans::{
    BanEntry, BanOrder, BanPage, Banned, BansQuery, Comment, CommentFlaw, Lifted, Sort, UnbanOrder, network_text,
};
pub use debug::{DebugEntry, DebugOrder, DebugState, DebugTarget};
pub use status::{
    Count, Frames, Ingress, Interface, KnockCounts, LaneStatus, ListStatus, Lists, Port, Refused, RefusedSource, Status,
};
