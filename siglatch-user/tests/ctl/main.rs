//! The operator's command, run for real in folders of its own.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the tests run the command and look at its files"
)]
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod check;
mod operator;
mod stage;
