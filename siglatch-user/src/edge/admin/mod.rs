//! The Unix socket between `siglatchctl` and the daemon, both ends. Never answers a request.

mod client;
mod server;

pub use client::{AdminClient, AskError};
pub use server::{AdminSocket, AdminSocketError, Asked, Bounds, Peer};

#[cfg(test)]
mod tests;
