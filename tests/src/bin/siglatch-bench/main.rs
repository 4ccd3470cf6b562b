//! `cargo xtask bench`: what siglatch costs on this machine, each figure beside its floor from the same run.
//! Never promises more than it measured.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a measurement is made of files, clocks, sockets and threads"
)]

mod audit;
mod bed;
mod clockmaker;
mod figures;
mod flood;
mod floor;
mod gateway;
mod hanging;
mod knocks;
mod latency;
mod letters;
mod memory;
mod operations;
mod programs;
mod scripts;
mod xdp;
mod years;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand, ValueEnum};
use figures::Figure;

/// Measures siglatch on this machine.
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask bench",
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  cargo xtask bench --json figures.json\n  cargo xtask bench --only scripts,audit,hanging\n  cargo xtask bench flood --peer fwknop\n  cargo xtask bench years --only growth"
)]
struct Options {
    #[command(subcommand)]
    other: Option<Other>,
    /// Writes a flat object: figure name to value, unit, floor and ratio.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// How often each XDP figure is taken, in turns with its floor.
    #[arg(long, default_value_t = 21)]
    rounds: u32,
    /// Leaves the other parts out.
    #[arg(long, value_name = "PART,…", value_delimiter = ',')]
    only: Vec<Part>,
}

#[derive(Debug, Subcommand)]
enum Other {
    /// Measures siglatch under flood, beside others.
    Flood(flood::Options),
    /// Measures what years of use ask for: reloads, status, starts, many users.
    Years(years::Options),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Part {
    /// What a frame costs in the kernel.
    Xdp,
    /// What a knock costs on a gateway.
    Gateway,
    /// What it costs to start a program.
    Programs,
    /// From a knock to the program that it starts.
    Scripts,
    /// What the audit log costs.
    Audit,
    /// What others' programs that hang cost.
    Hanging,
}

fn main() -> ExitCode {
    if programs::stamp_if_asked() {
        return ExitCode::SUCCESS;
    }
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<()> {
    match &options.other {
        Some(Other::Flood(options)) => return flood::run(options),
        Some(Other::Years(options)) => return years::run(options),
        None => {}
    }
    let mut figures = Vec::new();
    let is_wanted = |part| options.only.is_empty() || options.only.contains(&part);
    if is_wanted(Part::Xdp) {
        figures.extend(show("In the kernel, for each frame", xdp::figures(options.rounds.max(1))?));
    }
    if is_wanted(Part::Gateway) {
        figures.extend(show("On a gateway", gateway::figures()?));
    }
    if is_wanted(Part::Programs) {
        figures.extend(show("From the order to a program's first instruction", programs::figures()?));
    }
    if is_wanted(Part::Scripts) {
        figures.extend(show("From a knock to a program's first instruction", scripts::figures()?));
    }
    if is_wanted(Part::Audit) {
        figures.extend(show("With the audit log, beside without", vec![audit::figure()?]));
    }
    if is_wanted(Part::Hanging) {
        figures.extend(show("While programs hang, beside none", hanging::figures()?));
    }
    conclude(&figures, options.json.as_deref())
}

/// Prints some figures under their heading.
fn show(heading: &str, figures: Vec<Figure>) -> Vec<Figure> {
    let width = figures.iter().map(|figure| figure.name.len()).max().unwrap_or_default();
    println!("\n{heading}");
    figures.iter().for_each(|figure| println!("{figure:width$}"));
    figures
}

/// Says how many promises are kept, and writes the file.
fn conclude(figures: &[Figure], json: Option<&Path>) -> Result<()> {
    let promised: Vec<_> = figures.iter().filter_map(Figure::kept).collect();
    let kept = promised.iter().filter(|kept| **kept).count();
    println!("\n{kept} of {} targets met. What each figure means: docs/benchmarks.md", promised.len());
    if let Some(path) = json {
        let text = serde_json::to_string_pretty(&figures::json(figures))?;
        std::fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
