//! Builds the XDP program and puts it where `include_bytes_aligned!` finds it: `$OUT_DIR/siglatch-xdp.o`.
//!
//! It never installs anything: what it lacks, `cargo xtask setup` brings.

use std::process::ExitCode;

use xtask::build_ebpf::{Target, embed};

fn main() -> ExitCode {
    embed(Target::Filter, "siglatch-xdp.o")
}
