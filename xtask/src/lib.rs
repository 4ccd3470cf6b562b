//! Finds what can build the BPF program and builds it, for `cargo xtask` and for siglatch-user's build script alike; makes
//! packages, for `cargo xtask` and for the suite that installs them.
//!
//! It says what it found and what it chose. It never installs anything: that is `cargo xtask setup`.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a build tool runs compilers and copies files: it is all edge"
)]

pub mod bpf_linker;
pub mod build_ebpf;
pub mod package;
pub mod programs;
pub mod toolchain;

use std::path::{Path, PathBuf};

/// The folder that holds the workspace's `Cargo.toml`.
///
/// # Panics
/// Never: this crate's manifest lies one folder below it.
#[must_use]
pub fn workspace_root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies inside the workspace")
}

/// Where set-up puts the tools that belong to this checkout alone.
#[must_use]
pub fn tools_folder() -> PathBuf {
    workspace_root().join("target/tools")
}
