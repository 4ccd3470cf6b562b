//! The `siglatch` command: who knocks, on which gateway, what for, and how it is told.
//! Never needs root, and never waits for an answer: a gateway gives none.
//!
//! [`knocker`] turns a wish into a datagram and touches nothing; sockets, files, clock, randomness and terminal are
//! in `edge`.
#![forbid(unsafe_code)]

pub mod bind;
pub mod cli;
mod commands;
pub mod decoded;
mod edge;
pub mod failure;
pub mod gap;
pub mod gateway_name;
pub mod knocker;
mod nearest;
pub mod payload;
pub mod profile;
pub mod ttl;

pub use commands::run;
