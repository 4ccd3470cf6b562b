//! The built command, as a user types it: files in a folder of their own, datagrams on the loopback interface.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    reason = "these tests run the command, look at its files and datagrams, and stop at the first surprise"
)]

mod knocking;
mod manual;
mod profiles;
mod refusals;
mod stage;
