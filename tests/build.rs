//! Builds the filter's parts as programs and puts them where `include_bytes_aligned!` finds them:
//! `$OUT_DIR/siglatch-parts.o`.
//!
//! It never installs anything: what it lacks, `cargo xtask setup` brings.

use std::env;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use xtask::build_ebpf::{self, Target};
use xtask::toolchain::READY_OBJECT;

fn main() -> ExitCode {
    for input in build_ebpf::inputs() {
        println!("cargo::rerun-if-changed={}", input.display());
    }
    println!("cargo::rerun-if-env-changed={READY_OBJECT}");
    match embed() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Not returned from `main`: a backtrace of the build script helps nobody.
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn embed() -> Result<()> {
    let folder = env::var_os("OUT_DIR").context("cargo names OUT_DIR")?;
    let object = build_ebpf::build_into(Target::Parts, &Path::new(&folder).join("siglatch-parts.o"))?;
    if !object.warnings.is_empty() {
        println!("cargo::warning=the parts of the XDP program build with warnings");
    }
    Ok(())
}
