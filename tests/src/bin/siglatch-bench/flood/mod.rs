//! `cargo xtask bench flood`: what a flood costs the host, and what it leaves to those who knock honestly.
//! Never sends outside of network namespaces of its own, and never for longer than it says.

mod daemon;
mod drops;
pub(crate) mod field;
pub(crate) mod filter;
mod fwknop;
mod honoured;
mod kernel;
mod visitors;

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::{Args, ValueEnum};

use crate::{conclude, show};

/// Measures siglatch under flood, beside others.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Writes a flat object: figure name to value, unit, floor and ratio.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// How often each figure is taken; its median counts.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Leaves the other parts out. May be given several times.
    #[arg(long)]
    only: Vec<Part>,
    /// Floods this one, too, in namespaces of its own.
    #[arg(long)]
    peer: Option<Peer>,
}

/// A part of the measurement.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Part {
    /// What a frame costs in the kernel, beside its parts.
    Xdp,
    /// What share of honest knocks is honoured meanwhile.
    Honoured,
    /// What a minute of flood costs the daemon.
    Daemon,
    /// What one core drops a second, beside others.
    Drops,
}

/// Somebody else's program for the same task.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Peer {
    /// Debian's fwknop-server.
    Fwknop,
}

/// Measures what was asked for.
pub(crate) fn run(options: &Options) -> Result<()> {
    let wanted = |part| options.only.is_empty() || options.only.contains(&part);
    let with_fwknop = options.peer == Some(Peer::Fwknop);
    if let Some(cure) = fwknop::missing() {
        ensure!(!with_fwknop, "there is no fwknop: {cure}");
    }
    let mut figures = Vec::new();
    if wanted(Part::Xdp) {
        figures.extend(show("In the kernel, for each frame", kernel::figures(options.rounds)?));
    }
    if wanted(Part::Honoured) {
        let heading = "Honest knocks that are honoured, of those sent during a flood";
        figures.extend(show(heading, honoured::figures(options.rounds, with_fwknop)?));
    }
    if wanted(Part::Daemon) {
        figures.extend(show("The daemon, during a minute of flood", daemon::figures(options.rounds)?));
    }
    if wanted(Part::Drops) {
        figures.extend(show("On a cable, by one core that sends and drops", drops::figures(options.rounds)?));
    }
    conclude(&figures, options.json.as_deref())
}
