//! Builds the filter's parts as programs and puts them where `include_bytes_aligned!` finds them:
//! `$OUT_DIR/siglatch-parts.o`.
//!
//! It never installs anything: what it lacks, `cargo xtask setup` brings.

use std::process::ExitCode;

use xtask::build_ebpf::{Target, embed};

fn main() -> ExitCode {
    embed(Target::Parts, "siglatch-parts.o")
}
