//! Holds the code to its form: formatting, clippy, rustdoc, the XDP program's warnings, licences.
//!
//! It changes no file.

use std::env;
use std::process::{Command, ExitCode};

use anyhow::Result;
use xtask::build_ebpf::{Plan, Target};
use xtask::programs::{cargo_for_workspace, on_path};

use crate::phases::Phases;

/// `cargo xtask lint`.
pub(crate) fn run() -> Result<ExitCode> {
    let mut phases = Phases::default();
    check(&mut phases);
    phases.print();
    Ok(if phases.all_passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs every check of form.
pub(crate) fn check(phases: &mut Phases) {
    phases.run_command("format", cargo_for_workspace().args(["fmt", "--all", "--check"]));
    phases.run("XDP program", xdp_program_is_clean);
    phases.run_command(
        "clippy",
        cargo_for_workspace().args(["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"]),
    );
    phases.run_command("rustdoc", &mut rustdoc());
    if on_path("cargo-deny").is_some() {
        // Advisories need a database from the network: whoever has it runs `cargo deny check` alone.
        phases.run_command(
            "licences and bans",
            cargo_for_workspace().args(["deny", "--workspace", "check", "licenses", "bans", "sources"]),
        );
    }
}

/// A build script swallows the nested build's warnings; they are told here.
fn xdp_program_is_clean() -> Result<bool> {
    let plan = Plan::find()?;
    let warnings = plan.build(Target::Filter)?.warnings + &plan.build(Target::Parts)?.warnings;
    eprint!("{warnings}");
    Ok(warnings.is_empty())
}

fn rustdoc() -> Command {
    let mut flags = env::var_os("RUSTDOCFLAGS").unwrap_or_default();
    flags.push(" --deny warnings");
    let mut command = cargo_for_workspace();
    command.args(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", flags);
    command
}
