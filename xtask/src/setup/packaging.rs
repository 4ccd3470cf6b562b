//! What packages are made with: Debian's tools, musl's compiler, Rust's library for it. Brings what is missing; never builds.

use std::process::Command;

use anyhow::{Context as _, Result, bail};
use xtask::package::StaticTarget;
use xtask::programs::on_path;

use super::debian::{self, Tool};
use super::missing;
use crate::progress::{detail, watch};

/// Brings what the Debian packages need.
///
/// # Errors
/// If a tool is missing and cannot be installed: which, and the ways to get it.
pub(crate) fn for_debs() -> Result<()> {
    bring(debian::DEB)
}

/// Brings what the static programs are linked with. Where that cannot be had they are linked with glibc's archives, and the
/// reason is told.
pub(crate) fn for_static_programs() -> StaticTarget {
    let brought = bring(debian::MUSL).and_then(|()| {
        if StaticTarget::Musl.has_library() {
            return Ok(());
        }
        let rustup =
            on_path("rustup").context("Rust has no library for musl here, and there is no rustup to bring it")?;
        detail(&format!("installing Rust's library for {}", StaticTarget::Musl.triple()));
        watch(Command::new(rustup).args(["target", "add", StaticTarget::Musl.triple()]))
    });
    if let Err(error) = brought {
        detail(&format!("{error:#}"));
        detail("without musl, glibc's archives serve: see INSTALL.md in the tarball for what such programs lack");
    }
    StaticTarget::that_links_here()
}

fn bring(tool: Tool) -> Result<()> {
    if tool.is_present() {
        return Ok(());
    }
    detail(&format!("installing {}", tool.packages.join(", ")));
    let installed = debian::install(tool.packages);
    match (tool.is_present(), installed) {
        (true, _) => Ok(()),
        (false, Ok(())) => bail!("{}", missing::tool(&tool)),
        (false, Err(error)) => bail!("{error:#}\n{}", missing::tool(&tool)),
    }
}
