//! The siglatch daemon: decides who is let in (`gate`, `bans`, `policy`, `config`, `keys`, `admin`), and does what was decided
//! (`edge`, `daemon`). The first never does IO; the second never decides.
#![deny(unsafe_code)]

pub mod admin;
pub mod audit;
pub mod bans;
mod causes;
pub mod config;
pub mod ctl;
pub mod daemon;
pub mod edge;
pub mod gate;
pub mod keys;
pub mod metrics;
pub mod policy;
pub mod precedence;
mod retry;
pub mod spotlight;
pub mod switches;
