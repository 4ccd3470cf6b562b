//! `cargo xtask demo`: a gateway, a client and a stranger in namespaces of their own, and every promise looked at while
//! it is kept. Never prints a line that it has not checked.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a demonstration is made of files, clocks, processes and sockets"
)]

mod commands;
mod expectation;
mod scan;
mod screen;
mod show;
mod supervisor;
mod tap;
mod town;

use std::process::ExitCode;

use clap::Parser;

/// Shows siglatch at work.
///
/// Everything happens in network namespaces of its own, with real programs and real keys, and is gone afterwards.
/// Takes root, and some twenty seconds.
#[derive(Debug, Parser)]
#[command(name = "siglatch-demo", after_help = HELP)]
struct Options {
    /// Set by the demonstration when it runs itself, apart from everything else.
    #[arg(long, hide = true)]
    on_stage: bool,
}

fn main() -> ExitCode {
    if Options::parse().on_stage { show::run() } else { supervisor::run() }
}

const HELP: &str = "Examples:
  cargo xtask demo                 build everything in release mode, then this
  target/release/siglatch-demo     this alone
  NO_COLOR=1 target/release/siglatch-demo | tee demo.txt

Exit codes: 0 every line was so, 1 one was not, 130 interrupted (everything is taken down then, too).";
