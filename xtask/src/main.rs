//! `cargo xtask`: everything a person or a CI machine does with this workspace, one command each.
//!
//! It knows how to call cargo and what a machine must have. It knows nothing about knocks.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a build tool runs programs, reads files and takes the time: it is all edge"
)]

mod janitor;
mod lint;
mod package_task;
mod phases;
mod progress;
mod run_release;
mod setup;
mod side_by_side;
mod suites;
mod tally;
mod test;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use xtask::build_ebpf::{self, Plan, Target};

use crate::run_release::Program;
use crate::setup::Scope;

/// Builds, tests, demonstrates and measures siglatch.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", after_help = "Example:\n  cargo xtask demo")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Installs what this machine lacks; does nothing when nothing is lacking.
    ///
    /// Debian packages (a BPF compiler, nft, bpftool, tcpdump, …), bpf-linker into target/tools, the BPF file
    /// system at /sys/fs/bpf. What it cannot install it names, with the ways to get it.
    #[command(after_help = "Example:\n  cargo xtask setup")]
    Setup,
    /// Builds the XDP program and says which compiler and linker did it.
    ///
    /// In this order: the object that SIGLATCH_BPF_OBJECT names; rustup's nightly with rust-src; a rustc with a
    /// prebuilt core for bpfel-unknown-none.
    #[command(after_help = "Examples:\n  cargo xtask build-ebpf\n  SIGLATCH_BPF_OBJECT=my.o cargo xtask build-ebpf")]
    BuildEbpf {
        /// Builds twice, the second time from another folder, and compares.
        #[arg(long)]
        verify: bool,
    },
    /// Checks formatting, clippy, rustdoc and the XDP program's warnings; licences if cargo-deny is installed.
    #[command(after_help = "Example:\n  cargo xtask lint")]
    Lint,
    /// Sets up, lints, and runs every test on the real kernel. Needs root.
    #[command(after_help = "Examples:\n  cargo xtask test\n  cargo xtask test -- replay\n  \
                            cargo xtask test --unprivileged")]
    Test(test::Options),
    /// What `test` starts for itself.
    #[command(name = janitor::COMMAND, hide = true)]
    CleanUpAfterTests,
    /// Makes Debian packages, and a tarball of static programs.
    ///
    /// The packages siglatch, siglatch-ctl and siglatch-client. The same programs and the same SOURCE_DATE_EPOCH, which is
    /// the time of the last commit unless it is set, give the same bytes.
    #[command(after_help = "Examples:\n  cargo xtask package\n  cargo xtask package --only deb --out /tmp/debs\n  \
                            cargo xtask package --profile dev --version-suffix +test")]
    Package(package_task::Options),
    /// Shows the whole of siglatch at work between network namespaces. Needs root.
    #[command(after_help = "Example:\n  cargo xtask demo")]
    Demo {
        /// Handed on to siglatch-demo.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Measures siglatch against floors taken in the same run. Needs root.
    #[command(after_help = "Examples:\n  cargo xtask bench\n  cargo xtask bench --json figures.json\n  \
                            cargo xtask bench flood\n  cargo xtask bench -- --help")]
    Bench {
        /// Handed on to siglatch-bench: what to measure, `--json FILE`, …
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

fn main() -> ExitCode {
    let task = Cli::parse().task;
    match perform(&task) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{} {error:#}", progress::bad("error:"));
            ExitCode::FAILURE
        }
    }
}

fn perform(task: &Task) -> Result<ExitCode> {
    match task {
        Task::Setup => setup::run(Scope::Everything)?,
        Task::BuildEbpf { verify } => build_ebpf(*verify)?,
        Task::Lint => return lint::run(),
        Task::Test(options) => return test::run(options),
        Task::CleanUpAfterTests => janitor::main(),
        Task::Package(options) => package_task::run(options)?,
        Task::Demo { arguments } => run_release::run(Program::Demo, arguments)?,
        Task::Bench { arguments } => run_release::run(Program::Bench, arguments)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn build_ebpf(verify: bool) -> Result<()> {
    let plan = Plan::find()?;
    for way in &plan.rejected {
        println!("passed over  {way}");
    }
    println!("compiler     {}", plan.compiler);
    match &plan.linker {
        Some(linker) => println!("linker       {linker}"),
        None => println!("linker       not needed"),
    }
    let object = plan.build(Target::Filter)?;
    let destination = build_ebpf::build_folder().join("siglatch-xdp.o");
    let placed = object.place(&destination)?;
    eprint!("{}", object.warnings);
    println!("object       {}, {} bytes, {}", shown(&destination), placed.bytes, placed.stripped);
    if verify {
        println!("verified     built twice, from two folders: {} bytes, all the same", plan.verify()?);
    }
    Ok(())
}

/// A path as it is read in the workspace's own folder.
fn shown(path: &Path) -> String {
    path.strip_prefix(xtask::workspace_root()).unwrap_or(path).display().to_string()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn options_of_the_bench_reach_the_bench() {
        for typed in [&["flood", "--json", "figures.json"][..], &["--json", "figures.json"]] {
            let cli = Cli::try_parse_from(["xtask", "bench"].iter().chain(typed)).unwrap();
            assert!(matches!(cli.task, Task::Bench { arguments } if arguments == typed));
        }
    }

    #[test]
    fn every_task_shows_an_example() {
        for task in Cli::command().get_subcommands().filter(|task| !task.is_hide_set()) {
            let help = task.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains(&format!("cargo xtask {}", task.get_name())), "{}", task.get_name());
        }
    }
}
