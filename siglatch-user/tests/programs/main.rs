//! Programs that knocks start: real scripts in real processes, started by the built daemon's own. Needs root, and fails
//! without.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "processes are the subject: tests write scripts, wait for processes, and look at them"
)]
#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod bounds;
mod contained;
mod deaths;
mod ends;
mod read_again;
mod samples;
mod stage;
mod told;
mod unfit;
