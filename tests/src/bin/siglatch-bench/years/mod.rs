//! `cargo xtask bench years`: what a gateway that runs for years does beside judging: it reloads, answers, starts again, and has
//! many users. Never sends outside of network namespaces of its own.

mod growth;
mod reload;
mod start;
mod status;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::{conclude, show};

/// Measures what years of use ask for: reloads, status, starts, many users.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Writes a flat object: figure name to value, unit, floor and ratio.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Leaves the other parts out.
    #[arg(long, value_name = "PART,…", value_delimiter = ',')]
    only: Vec<Part>,
}

/// A part of the measurement.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Part {
    /// How long a reload takes, and what it costs knocks.
    Reload,
    /// How long the status takes under flood.
    Status,
    /// From a start to the first knock that has an effect.
    Start,
    /// Whether judging grows with users, grants and bans.
    Growth,
}

/// Measures what was asked for.
pub(crate) fn run(options: &Options) -> Result<()> {
    let is_wanted = |part| options.only.is_empty() || options.only.contains(&part);
    let mut figures = Vec::new();
    if is_wanted(Part::Reload) {
        figures.extend(show("Reloads with ten thousand users, and knocks meanwhile", reload::figures()?));
    }
    if is_wanted(Part::Status) {
        figures.extend(show("The status under flood, beside without", status::figures()?));
    }
    if is_wanted(Part::Start) {
        figures.extend(show("From a start to the first knock's effect, with ten thousand users", start::figures()?));
    }
    if is_wanted(Part::Growth) {
        let heading = "Judging one knock, beside many, and beside ten, users, grants and bans";
        figures.extend(show(heading, growth::figures()?));
    }
    conclude(&figures, options.json.as_deref())
}
