//! The daemon's Unix sockets, and the operator's end of them: one where it is asked, one where it only tells. Never answers
//! a request.

mod caller;
mod client;
mod observers;
mod server;
mod socket_file;

pub use client::{AdminClient, AskError, Heard, Observer};
pub use observers::ObserverSocket;
pub use server::{AdminSocket, Asked, Bounds, Doorkeeper, Peer};
pub use socket_file::AdminSocketError;

#[cfg(test)]
mod tests;
