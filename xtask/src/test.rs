//! `cargo xtask test`: set-up, lint, every suite, most of them side by side; one summary line at the end.
//!
//! It never skips the kernel suites in silence: only `--unprivileged` leaves them out, and then it says so.

use std::io::Read as _;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use xtask::programs::cargo_for_workspace;

use crate::janitor::Janitor;
use crate::lint;
use crate::phases::Phases;
use crate::progress::{bad, strong};
use crate::setup::{self, Scope};
use crate::side_by_side::{Manner, Run, width};
use crate::suites::{Order, Suite};
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
    /// Runs one test program at a time, and shows what it prints as it comes.
    #[arg(long)]
    in_turn: bool,
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
    let (mut built, mut tally, mut failed) = (String::new(), Tally::default(), Vec::new());
    if phases.run("build the tests", || build(options, &mut built)) {
        phases.run("tests", || {
            (tally, failed) = run_suites(options, Suite::all_in(&built)?)?;
            Ok(failed.is_empty())
        });
        phases.run("doc tests", || doc_tests(options, &mut tally));
    } else {
        tally.settle(false);
    }
    phases.print();
    conclude(options, &phases, tally, &failed);
    Ok(if phases.all_passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
fn cargo_test(options: &Options) -> Command {
    let mut command = cargo_for_workspace();
    command.args(["test", "--workspace", "--no-fail-fast"]);
    if options.unprivileged {
        command.args(["--exclude", "siglatch-tests"]);
    }
    command
}

/// Builds every test program, and keeps what cargo says of them.
fn build(options: &Options, built: &mut String) -> Result<bool> {
    let mut command = cargo_test(options);
    command.args(["--no-run", "--message-format=json-render-diagnostics"]).stdout(Stdio::piped());
    let mut child = command.spawn().context("cannot run cargo test")?;
    child.stdout.take().expect("stdout is piped").read_to_string(built).context("cannot hear what cargo has built")?;
    Ok(child.wait().context("lost cargo test")?.success())
}

/// Runs what was built, and says which programs failed.
fn run_suites(options: &Options, suites: Vec<Suite>) -> Result<(Tally, Vec<Suite>)> {
    let janitor = Janitor::start()?;
    let mut run = Run::of(suites.len());
    let order = Order::of(suites);
    let in_turn = Manner { at_once: 1, live: options.in_turn, arguments: &options.arguments, patience: PATIENCE };
    let together = if options.in_turn { in_turn } else { Manner { at_once: width(), ..in_turn } };
    run.run(order.together, &together, &janitor);
    run.run(order.alone, &in_turn, &janitor);
    janitor.finish();
    Ok(run.finish())
}

/// Runs the examples in the documentation, as only cargo can.
fn doc_tests(options: &Options, tally: &mut Tally) -> Result<bool> {
    let mut command = cargo_test(options);
    command.args(["--doc", "--"]).args(&options.arguments);
    let output = command.stderr(Stdio::inherit()).output().context("cannot run cargo test --doc")?;
    let said = String::from_utf8_lossy(&output.stdout);
    print!("{said}");
    let mut own = Tally::default();
    said.lines().for_each(|line| own.count(line));
    own.settle(output.status.success());
    *tally += own;
    Ok(output.status.success())
}

/// The last lines: what is missing from the picture, then the sum alone on its line.
fn conclude(options: &Options, phases: &Phases, tally: Tally, failed: &[Suite]) {
    if !failed.is_empty() {
        println!("\n{}", bad("These test programs failed; each runs alone by its line:"));
        failed.iter().for_each(|suite| println!("    {}", suite.command_line()));
    }
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

/// A test program that takes so long hangs: the longest takes a minute and a half on a machine with nothing else to do.
const PATIENCE: Duration = Duration::from_secs(600);
