//! Installs this checkout's bpf-linker, built against a libLLVM that is already on the machine.
//!
//! It decides neither whether one is needed nor which LLVM fits: [`xtask::bpf_linker`] does.

use std::fs;
use std::os::unix::fs::symlink;

use anyhow::{Context as _, Result};
use xtask::bpf_linker::{LlvmLibrary, PINNED, llvm_for, own_llvm_folder};
use xtask::programs::{cargo, cargo_of_its_own};
use xtask::toolchain::Rustc;
use xtask::{tools_folder, workspace_root};

use crate::progress::{detail, watch};

/// What is about to happen.
pub(super) fn announcement() -> String {
    format!("building bpf-linker {PINNED} into target/tools, about a minute")
}

/// Builds the linker for what `rustc` emits, with the compiler of the host.
///
/// # Errors
/// If no libLLVM fits, or the build fails.
pub(super) fn install(rustc: &Rustc, host: &Rustc) -> Result<()> {
    let llvm = llvm_for(rustc, host)
        .with_context(|| format!("no libLLVM.so on this machine is of version {} or later", rustc.llvm))?;
    detail(&format!("against LLVM {}, {}", llvm.major, llvm.file.display()));
    link_llvm(&llvm)?;
    watch(
        cargo_of_its_own(&cargo())
            .current_dir(workspace_root())
            .args(["install", "bpf-linker", "--version", PINNED, "--locked", "--force", "--no-default-features"])
            .args(["--features", &format!("llvm-{}", llvm.major), "--root"])
            .arg(tools_folder())
            .env("LLVM_PREFIX", own_llvm_folder())
            // It links one small object: quick to build matters more than quick to run.
            .envs([
                ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1"),
                ("CARGO_PROFILE_RELEASE_DEBUG", "0"),
                ("CARGO_PROFILE_RELEASE_STRIP", "true"),
                ("CARGO_PROFILE_RELEASE_LTO", "off"),
            ]),
    )
}

/// Makes the library findable by the name that linking asks for and by the name that running asks for.
fn link_llvm(llvm: &LlvmLibrary) -> Result<()> {
    let lib = own_llvm_folder().join("lib");
    if lib.exists() {
        fs::remove_dir_all(&lib).with_context(|| format!("cannot clear {}", lib.display()))?;
    }
    fs::create_dir_all(&lib).with_context(|| format!("cannot make {}", lib.display()))?;
    let own_name = llvm.file.file_name().context("a library has a name")?;
    for name in ["libLLVM.so".as_ref(), own_name] {
        let link = lib.join(name);
        if !link.exists() {
            symlink(&llvm.file, &link).with_context(|| format!("cannot make {}", link.display()))?;
        }
    }
    Ok(())
}
