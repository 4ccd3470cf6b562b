//! Which programs building and running need, which Debian package brings each, and how packages are installed.
//!
//! It asks apt-get only when a package is to be installed.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use xtask::programs::{answer, on_path};

use super::quiet::Quiet;
use crate::progress::{detail, watch};

/// Packages that bring a service of their own name, which is not wanted.
const SERVICES: [&str; 3] = ["apparmor", "firewalld", "prometheus"];

/// A compiler with a prebuilt `core` for BPF.
pub(super) const BPF_COMPILER: [&str; 2] = ["rustc-web", "libstd-rust-web-dev-bpf"];

/// What the Debian packages are made with.
pub(super) const DEB: Tool = Tool { program: "dpkg-shlibdeps", packages: &["dpkg-dev"] };
/// What static programs are linked by.
pub(super) const MUSL: Tool = Tool { program: "musl-gcc", packages: &["musl-tools"] };

/// A program, and the packages that bring it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tool {
    /// Its name on PATH.
    pub(super) program: &'static str,
    /// Debian's packages.
    pub(super) packages: &'static [&'static str],
}

impl Tool {
    /// Whether it is on PATH, or where distributions keep system programs.
    pub(super) fn is_present(&self) -> bool {
        on_path(self.program).is_some()
    }
}

/// What is needed to build, and, if wanted, to run, and to test what other programs make of it.
pub(super) fn tools(to_run: bool, to_test: bool) -> Vec<Tool> {
    const BUILD: [Tool; 1] = [Tool { program: "cc", packages: &["gcc", "libc6-dev"] }];
    const RUN: [Tool; 6] = [
        Tool { program: "nft", packages: &["nftables"] },
        Tool { program: "bpftool", packages: &["bpftool"] },
        Tool { program: "tcpdump", packages: &["tcpdump"] },
        Tool { program: "ip", packages: &["iproute2"] },
        Tool { program: "ping", packages: &["iputils-ping"] },
        Tool { program: "nsenter", packages: &["util-linux"] },
    ];
    const TEST: [Tool; 12] = [
        DEB,
        Tool { program: "apparmor_parser", packages: &["apparmor"] },
        Tool { program: "lintian", packages: &["lintian"] },
        Tool { program: "systemd-nspawn", packages: &["systemd-container"] },
        Tool { program: "firewalld", packages: &["firewalld"] },
        Tool { program: "dbus-daemon", packages: &["dbus-daemon"] },
        Tool { program: "iptables-nft", packages: &["iptables"] },
        Tool { program: "fail2ban-regex", packages: &["fail2ban"] },
        Tool { program: "journalctl", packages: &["systemd"] },
        Tool { program: "prometheus", packages: &["prometheus"] },
        Tool { program: "promtool", packages: &["prometheus"] },
        Tool { program: "faketime", packages: &["faketime"] },
    ];
    let run = RUN.into_iter().filter(|_| to_run);
    BUILD.into_iter().chain(run).chain(TEST.into_iter().filter(|_| to_test)).collect()
}

/// Installs packages; reads the package lists anew only if they are empty or out of date.
///
/// # Errors
/// If this is no Debian-like system, this process is not root's, or apt-get fails.
pub(super) fn install(packages: &[&str]) -> Result<()> {
    let apt = on_path("apt-get").context("there is no apt-get here")?;
    if !super::is_root() {
        bail!("only root can install packages");
    }
    let services: Vec<_> = SERVICES.into_iter().filter(|service| packages.contains(service)).collect();
    let _quiet = Quiet::keep(&services).context("a service would start that nobody asked for")?;
    if lists_know(packages) && apt_install(&apt, packages).is_ok() {
        return Ok(());
    }
    detail("reading the package lists anew");
    if let Err(error) = watch(Command::new(&apt).args(["update", "--quiet"])) {
        // One broken source among several is no reason to give up.
        detail(&format!("{error:#}; trying all the same"));
    }
    apt_install(&apt, packages)
}

fn lists_know(packages: &[&str]) -> bool {
    let policy = answer(Command::new("apt-cache").arg("policy").args(packages)).unwrap_or_default();
    let candidates = policy.lines().filter_map(|line| line.trim().strip_prefix("Candidate: "));
    candidates.filter(|candidate| *candidate != "(none)").count() == packages.len()
}

fn apt_install(apt: &PathBuf, packages: &[&str]) -> Result<()> {
    watch(
        Command::new(apt)
            .env("DEBIAN_FRONTEND", "noninteractive")
            // Another apt-get may be at work, as on a machine that has just started.
            .args(["install", "--yes", "--quiet", "--no-install-recommends", "--option", "DPkg::Lock::Timeout=120"])
            .args(packages),
    )
}
