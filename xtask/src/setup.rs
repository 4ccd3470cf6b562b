//! `cargo xtask setup`: decides what this machine lacks, installs it, and names what it cannot install.
//!
//! It never touches what is already there: a second call only looks.

mod bpffs;
mod debian;
mod linker;
mod missing;
pub(crate) mod packaging;
mod quiet;

use std::fs;

use anyhow::{Result, bail};
use xtask::bpf_linker::BpfLinker;
use xtask::programs::on_path;
use xtask::toolchain::{Compiler, Rustc, Search};

use crate::progress::{Steps, detail, faint, took};
use crate::setup::missing::Missing;

/// What the machine is to be made fit for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Scope {
    /// Building, and tests that need no kernel.
    Build,
    /// Building, and running on this kernel.
    Run,
    /// All that, and checking the form of the code.
    Everything,
}

/// Makes the machine fit, step by step.
///
/// # Errors
/// If something is still lacking at the end: all of it at once, each with the ways to get it.
pub(crate) fn run(scope: Scope) -> Result<()> {
    let mut setup = Setup::new(scope);
    let host = setup.rust();
    setup.packages();
    let compiler = setup.compiler();
    setup.linker(compiler.as_ref(), host.as_ref());
    if scope != Scope::Build {
        setup.bpffs();
    }
    setup.finish()
}

/// Refuses to go on without root, and says how to come by it.
///
/// # Errors
/// If this process is not root's.
pub(crate) fn demand_root(task: &str, why: &str, otherwise: Option<&str>) -> Result<()> {
    if is_root() {
        return Ok(());
    }
    let otherwise = otherwise.map(|text| format!("\n{text}")).unwrap_or_default();
    bail!("`cargo xtask {task}` needs root: {why}.\n  sudo -E env \"PATH=$PATH\" cargo xtask {task}{otherwise}");
}

fn is_root() -> bool {
    // Real, effective, saved, file system.
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ids = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    ids.and_then(|ids| ids.split_whitespace().nth(1)) == Some("0")
}

/// One run of set-up.
struct Setup {
    scope: Scope,
    steps: Steps,
    missing: Vec<Missing>,
}

impl Setup {
    fn new(scope: Scope) -> Self {
        let total = if scope == Scope::Build { 4 } else { 5 };
        Self { scope, steps: Steps::of(total), missing: Vec::new() }
    }

    fn rust(&mut self) -> Option<Rustc> {
        let rustc = match Rustc::of_the_host() {
            Ok(rustc) => rustc,
            Err(error) => {
                self.steps.next("Rust", &format!("{error:#}"));
                self.missing.push(missing::rustc());
                return None;
            }
        };
        let absent: Vec<_> = [("rustfmt", "cargo-fmt"), ("clippy", "cargo-clippy")]
            .into_iter()
            .filter(|(_, command)| !has_cargo_command(&rustc, command))
            .map(|(component, _)| component)
            .collect();
        match (absent.as_slice(), self.scope) {
            ([], _) => self.steps.next("Rust", &format!("rustc {}, rustfmt, clippy", rustc.release)),
            (absent, Scope::Everything | Scope::Build) => {
                self.steps.next("Rust", &format!("rustc {}, without {}", rustc.release, absent.join(" and ")));
                self.missing.push(missing::components(absent));
            }
            (_, Scope::Run) => self.steps.next("Rust", &format!("rustc {}", rustc.release)),
        }
        Some(rustc)
    }

    fn packages(&mut self) {
        let tools = debian::tools(self.scope != Scope::Build, self.scope == Scope::Everything);
        let (present, absent): (Vec<_>, Vec<_>) = tools.into_iter().partition(debian::Tool::is_present);
        let compiler_lacks = Search::run().chosen.is_none();
        let here = present.iter().map(|tool| tool.program).collect::<Vec<_>>().join(", ");
        if absent.is_empty() && !compiler_lacks {
            self.steps.next("System packages", &format!("{here}: all here"));
            return;
        }
        let mut wanted: Vec<_> = absent.iter().flat_map(|tool| tool.packages).copied().collect();
        wanted.dedup();
        if compiler_lacks {
            wanted.extend(debian::BPF_COMPILER);
        }
        self.steps.next("System packages", &format!("installing {}", wanted.join(", ")));
        match debian::install(&wanted) {
            Ok(()) => detail(&format!("installed, {} since the start", took(self.steps.elapsed()))),
            Err(error) => detail(&format!("not installed: {error:#}")),
        }
        self.missing.extend(absent.iter().filter(|tool| !tool.is_present()).map(missing::tool));
    }

    fn compiler(&mut self) -> Option<Compiler> {
        let Search { chosen, rejected } = Search::run();
        match &chosen {
            Some(compiler) => self.steps.next("BPF compiler", &compiler.to_string()),
            None => {
                self.steps.next("BPF compiler", "none");
                self.missing.push(missing::bpf_compiler());
            }
        }
        for way in rejected {
            detail(&faint(&format!("passed over {way}")));
        }
        chosen
    }

    fn linker(&mut self, compiler: Option<&Compiler>, host: Option<&Rustc>) {
        let rustc = match (compiler, host) {
            (Some(Compiler::Ready(_)), _) => {
                return self.steps.next("BPF linker", "not needed for a ready object");
            }
            // The compiler that is missing will most likely be as new as the one that is here.
            (compiler, host) => compiler.and_then(Compiler::rustc).or(host),
        };
        let Some(rustc) = rustc else {
            return self.steps.next("BPF linker", "waits for a compiler");
        };
        if let Ok(linker) = BpfLinker::find(rustc) {
            return self.steps.next("BPF linker", &linker.to_string());
        }
        self.steps.next("BPF linker", &linker::announcement());
        match linker::install(rustc, host.unwrap_or(rustc)).and_then(|()| BpfLinker::find(rustc)) {
            Ok(linker) => detail(&linker.to_string()),
            Err(error) => {
                detail(&format!("not installed: {error:#}"));
                self.missing.push(missing::bpf_linker());
            }
        }
    }

    fn bpffs(&mut self) {
        if bpffs::is_mounted() {
            return self.steps.next("BPF file system", &format!("mounted at {}", bpffs::FOLDER));
        }
        self.steps.next("BPF file system", &format!("mounting it at {}", bpffs::FOLDER));
        if let Err(error) = bpffs::mount() {
            detail(&format!("not mounted: {error:#}"));
            self.missing.push(missing::bpffs());
        }
    }

    fn finish(self) -> Result<()> {
        if !self.missing.is_empty() {
            eprintln!();
            for missing in &self.missing {
                eprint!("{missing}");
            }
            let names: Vec<_> = self.missing.iter().map(|missing| missing.what.as_str()).collect();
            bail!("this machine lacks {}", names.join(", "));
        }
        println!("{}", faint(&format!("Set-up took {}", took(self.steps.elapsed()))));
        Ok(())
    }
}

/// rustup's proxies are on PATH even without the component: there the toolchain's own folder counts.
fn has_cargo_command(rustc: &Rustc, command: &str) -> bool {
    let proxied = on_path("rustup").is_some() && rustc.sysroot.join("bin/cargo").is_file();
    rustc.sysroot.join("bin").join(command).is_file() || (!proxied && on_path(command).is_some())
}
