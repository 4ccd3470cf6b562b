//! What to tell someone whose machine lacks something that set-up cannot install: its name, and the ways to get it.
//!
//! Text only.

use std::fmt;

use xtask::bpf_linker::PINNED;
use xtask::toolchain::READY_OBJECT;

use crate::progress::{bad, strong};
use crate::setup::bpffs;
use crate::setup::debian::{BPF_COMPILER, Tool};

/// Something that is not here.
#[derive(Debug)]
pub(super) struct Missing {
    /// Its name.
    pub(super) what: String,
    ways: Vec<String>,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {}", bad("missing"), strong(&self.what))?;
        for way in &self.ways {
            writeln!(f, "  - {way}")?;
        }
        Ok(())
    }
}

/// The compiler for everything that is not BPF.
pub(super) fn rustc() -> Missing {
    Missing { what: "rustc".to_owned(), ways: vec!["rustup toolchain install stable".to_owned()] }
}

/// Components of the Rust toolchain.
pub(super) fn components(names: &[&str]) -> Missing {
    let names = names.join(" ");
    Missing {
        ways: vec![
            format!("with rustup: rustup component add {names}"),
            "with a distribution's Rust: its packages for cargo-fmt and cargo-clippy".to_owned(),
        ],
        what: names,
    }
}

/// A program that building, running or testing calls.
pub(super) fn tool(tool: &Tool) -> Missing {
    let packages = tool.packages.join(" ");
    Missing {
        what: tool.program.to_owned(),
        ways: vec![
            format!("Debian and its kin, as root: apt-get update && apt-get install {packages}"),
            format!("elsewhere: whichever package has the program `{}`, on PATH", tool.program),
        ],
    }
}

/// A compiler for the XDP program.
pub(super) fn bpf_compiler() -> Missing {
    Missing {
        what: "a compiler for bpfel-unknown-none".to_owned(),
        ways: vec![
            "anywhere with rustup: rustup toolchain install nightly --profile minimal --component rust-src".to_owned(),
            format!(
                "Debian, as root: apt-get update && apt-get install --no-install-recommends {}",
                BPF_COMPILER.join(" ")
            ),
            format!("without a compiler: {READY_OBJECT}=FILE names an object built elsewhere (cargo xtask build-ebpf)"),
        ],
    }
}

/// The linker for the XDP program.
pub(super) fn bpf_linker() -> Missing {
    Missing {
        what: "bpf-linker".to_owned(),
        ways: vec![
            "with access to a crate registry: cargo xtask setup".to_owned(),
            format!(
                "any bpf-linker on PATH whose LLVM is not older than the compiler's: cargo install bpf-linker@{PINNED}"
            ),
            "without a compiler for it: one of its released binaries, on PATH".to_owned(),
        ],
    }
}

/// The BPF file system.
pub(super) fn bpffs() -> Missing {
    let folder = bpffs::FOLDER;
    Missing {
        what: format!("the BPF file system at {folder}"),
        ways: vec![
            format!("until the next reboot, as root: mount -t bpf bpf {folder}"),
            format!("for good: a line in /etc/fstab: bpf {folder} bpf defaults 0 0"),
            "in a container: mount it on the host and hand it in, with the right to use BPF".to_owned(),
        ],
    }
}
