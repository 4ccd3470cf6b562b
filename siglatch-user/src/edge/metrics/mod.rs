//! Hands the metrics to whoever scrapes them: a small HTTP server on a loopback address or a Unix socket, and what the
//! system says of this process. Never counts anything, and is never reachable from another host.
//!
//! Everybody on this host may connect to a loopback port. What all of them together can make the daemon hold and do is
//! bounded ([`Bounds`]): a new connection takes the place of the oldest, and the text is made anew only every so often.

mod listener;
mod own;
mod server;

pub use listener::{MetricsError, MetricsListener};
pub use own::Own;
pub use server::{Bounds, serve};

#[cfg(test)]
mod tests;
