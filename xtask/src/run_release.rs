//! `cargo xtask demo` and `cargo xtask bench`: set-up, a release build, then the program in this process's place.
//!
//! What is shown and what is measured is decided by the programs, in `tests/`.

use std::env;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use xtask::programs::cargo_for_workspace;

use crate::progress::{strong, took};
use crate::setup::{self, Scope};

/// A program of the `tests` crate that works with the release build.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Program {
    /// Shows siglatch at work.
    Demo,
    /// Measures it.
    Bench,
}

impl Program {
    fn task(self) -> &'static str {
        match self {
            Self::Demo => "demo",
            Self::Bench => "bench",
        }
    }

    fn executable(self) -> &'static str {
        match self {
            Self::Demo => "siglatch-demo",
            Self::Bench => "siglatch-bench",
        }
    }
}

/// Builds everything and becomes the program; returns only if that fails.
pub(crate) fn run(program: Program, arguments: &[String]) -> Result<()> {
    setup::demand_root(program.task(), "it attaches real XDP programs and makes network namespaces", None)?;
    setup::run(Scope::Run)?;
    build()?;
    let executable = release_folder()?.join(program.executable());
    println!();
    let error = Command::new(&executable).args(arguments).exec();
    Err(error).with_context(|| format!("cannot run {}", executable.display()))
}

fn build() -> Result<()> {
    println!("\n{}", strong("Building siglatch in release mode"));
    let started = std::time::Instant::now();
    let mut command = cargo_for_workspace();
    command.args(["build", "--release", "--bins"]);
    command.args(["--package", "siglatch-user", "--package", "siglatch-client", "--package", "siglatch-tests"]);
    if !command.status().context("cannot run cargo build")?.success() {
        bail!("siglatch does not build: see above");
    }
    println!("Built in {}", took(started.elapsed()));
    Ok(())
}

/// Beside the folder this very program was built into: true for any target folder that cargo is set to use.
fn release_folder() -> Result<PathBuf> {
    let own = env::current_exe().context("cannot tell where xtask itself lies")?;
    let profiles = own.ancestors().nth(2).context("xtask does not lie in a target folder")?;
    Ok(profiles.join("release"))
}
