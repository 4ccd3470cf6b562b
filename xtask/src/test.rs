//! `cargo xtask test`: set-up, lint, every suite; one summary line at the end.
//!
//! It never skips the kernel suites in silence: only `--unprivileged` leaves them out, and then it says so.

use std::io::{Read, Write};
use std::process::{ExitCode, Stdio};

use anyhow::{Context as _, Result};
use xtask::programs::cargo_for_workspace;

use crate::lint;
use crate::phases::Phases;
use crate::progress::{bad, strong};
use crate::setup::{self, Scope};
use crate::tally::Tally;

/// What the user asks of a test run.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Runs only what needs neither root nor a kernel, and says so: the suites in tests/ are left out.
    #[arg(long)]
    unprivileged: bool,
    /// Runs the tests without checking the form of the code first.
    #[arg(long)]
    no_lint: bool,
    /// Handed on to the test suites: a part of a test's name, `--nocapture`, …
    #[arg(last = true)]
    arguments: Vec<String>,
}

/// Runs everything that was asked for.
pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    if !options.unprivileged {
        setup::demand_root(
            "test",
            "the suites attach real XDP programs and make network namespaces",
            Some("What needs neither root nor a kernel runs with `cargo xtask test --unprivileged`."),
        )?;
    }
    let mut phases = Phases::default();
    let scope = if options.unprivileged { Scope::Build } else { Scope::Everything };
    if !phases.run("set-up", || setup::run(scope).map(|()| true)) {
        return Ok(ExitCode::FAILURE);
    }
    if !options.no_lint {
        lint::check(&mut phases);
    }
    let mut tally = Tally::default();
    if phases.run_command("build the tests", cargo_test(options).arg("--no-run")) {
        phases.run("tests", || suites(options, &mut tally));
    } else {
        tally.settle(false);
    }
    phases.print();
    conclude(options, &phases, tally);
    Ok(if phases.all_passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn cargo_test(options: &Options) -> std::process::Command {
    let mut command = cargo_for_workspace();
    command.args(["test", "--workspace", "--no-fail-fast"]);
    if options.unprivileged {
        command.args(["--exclude", "siglatch-tests"]);
    }
    command
}

/// Runs the suites; their output goes through as it comes and is counted on the way.
fn suites(options: &Options, tally: &mut Tally) -> Result<bool> {
    let mut command = cargo_test(options);
    command.arg("--").args(&options.arguments).stdout(Stdio::piped());
    let mut child = command.spawn().context("cannot run cargo test")?;
    let output = child.stdout.take().expect("stdout is piped");
    count_through(output, &mut std::io::stdout(), tally).context("cannot pass the suites' output on")?;
    let status = child.wait().context("lost cargo test")?;
    tally.settle(status.success());
    Ok(status.success())
}

/// Copies bytes as they come, so that a running test's name shows, and counts whole lines.
fn count_through(mut from: impl Read, to: &mut impl Write, tally: &mut Tally) -> std::io::Result<()> {
    let mut chunk = [0; 4096];
    let mut line = Vec::new();
    loop {
        let length = from.read(&mut chunk)?;
        let bytes = chunk.get(..length).unwrap_or_default();
        if bytes.is_empty() {
            break;
        }
        to.write_all(bytes)?;
        to.flush()?;
        for &byte in bytes {
            if byte == b'\n' {
                tally.count(&String::from_utf8_lossy(&line));
                line.clear();
            } else {
                line.push(byte);
            }
        }
    }
    tally.count(&String::from_utf8_lossy(&line));
    Ok(())
}

/// The last lines: what is missing from the picture, then the sum alone on its line.
fn conclude(options: &Options, phases: &Phases, tally: Tally) {
    if options.unprivileged {
        println!("\n{} run `cargo xtask test` as root.", bad("The kernel suites in tests/ were NOT run:"));
    }
    if tally.ignored > 0 {
        println!("\n{} ignored: each names its reason and its issue.", tally.ignored);
    }
    if !phases.all_passed() && tally.failed == 0 {
        println!("\n{}", bad("The tests hold, but not every check above does."));
    }
    println!("\n{}", strong(&format!("{} passed, {} failed", tally.passed, tally.failed)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_goes_through_unchanged_and_is_counted() {
        let output = "running 1 test\ntest a ... ok\n\ntest result: ok. 1 passed; 0 failed; 0 ignored";
        let (mut copy, mut tally) = (Vec::new(), Tally::default());
        count_through(output.as_bytes(), &mut copy, &mut tally).unwrap();
        assert_eq!(copy, output.as_bytes());
        assert_eq!(tally.passed, 1);
    }
}
