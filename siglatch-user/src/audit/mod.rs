//! The audit log: what is told of everything that happened, how records hang together, and how they are read again.
//! No IO, no clock.

#![forbid(unsafe_code)]

pub mod chain;
pub mod event;
pub mod line;
mod record;
mod search;
pub mod verify;

pub use chain::{Chain, Hash, Link, Stamp};
pub use event::{Event, Who};
pub use record::Record;
pub use search::Query;
