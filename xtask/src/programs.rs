//! Finds programs on PATH, asks them short questions, and cleans the environment that they are started in.
//!
//! It never changes this process's own environment.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// Where distributions keep what only root is expected to call: absent from an ordinary user's PATH.
const SYSTEM_FOLDERS: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// Every file called `name` on PATH, first come first; the folders for system programs count as its end.
#[must_use]
pub fn all_on_path(name: &str) -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(SYSTEM_FOLDERS.iter().map(PathBuf::from));
    folders.map(|folder| folder.join(name)).filter(|file| file.is_file()).collect()
}

/// The first file called `name` on PATH.
#[must_use]
pub fn on_path(name: &str) -> Option<PathBuf> {
    all_on_path(name).into_iter().next()
}

/// What a program prints on its standard output, without the last line break.
///
/// # Errors
/// If it cannot be started or does not succeed; the error carries the first line of its complaint.
pub fn answer(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("cannot run {name}"))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        bail!("{name}: {}, {}", output.status, complaint.trim().lines().next().unwrap_or("without a word"));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
}

/// The cargo that runs us, or the one on PATH.
#[must_use]
pub fn cargo() -> PathBuf {
    env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from)
}

/// A cargo that builds this workspace as if the user had typed it.
///
/// `cargo run` describes the running package in variables; handed on, they would make build scripts run again.
#[must_use]
pub fn cargo_for_workspace() -> Command {
    let mut command = as_if_typed(&cargo());
    command.current_dir(crate::workspace_root());
    command
}

/// A program that sees nothing of the package that is running.
#[must_use]
pub fn as_if_typed(program: &Path) -> Command {
    let mut command = Command::new(program);
    forget(&mut command, describes_a_package);
    command
}

/// A cargo that builds something of its own: no flag, wrapper, target or profile of the outer build reaches it.
///
/// Only what says where things are kept and fetched from stays (`CARGO_HOME`, proxies, mirrors, rustup).
#[must_use]
pub fn cargo_of_its_own(cargo: &Path) -> Command {
    let mut command = Command::new(cargo);
    forget(&mut command, |name| describes_a_package(name) || steers_a_build(name));
    // An empty wrapper also overrides one in a configuration file.
    command.env("RUSTC_WRAPPER", "").env("RUSTC_WORKSPACE_WRAPPER", "");
    command
}

fn forget(command: &mut Command, unwanted: impl Fn(&str) -> bool) {
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(&unwanted) {
            command.env_remove(OsStr::new(&name));
        }
    }
}

fn describes_a_package(name: &str) -> bool {
    ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CFG_", "CARGO_FEATURE_", "DEP_"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
        || ["OUT_DIR", "TARGET", "HOST", "NUM_JOBS", "OPT_LEVEL", "PROFILE", "DEBUG"].contains(&name)
}

fn steers_a_build(name: &str) -> bool {
    const KEPT: [&str; 6] =
        ["CARGO_HOME", "CARGO_HTTP_", "CARGO_NET_", "CARGO_REGISTRIES_", "CARGO_REGISTRY_", "CARGO_SOURCE_"];
    let steers = ["CARGO", "RUSTC", "RUSTDOC", "RUSTFLAGS", "MAKEFLAGS", "MFLAGS"].iter().any(|p| name.starts_with(p));
    steers && !KEPT.iter().any(|kept| name.starts_with(kept))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outer_build_cannot_steer_a_build_of_its_own() {
        for name in [
            "RUSTC",
            "RUSTC_WRAPPER",
            "RUSTC_BOOTSTRAP",
            "RUSTFLAGS",
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_BUILD_TARGET",
            "CARGO_TARGET_DIR",
            "CARGO_PROFILE_RELEASE_LTO",
            "CARGO_MAKEFLAGS",
        ] {
            assert!(steers_a_build(name), "{name}");
        }
    }

    #[test]
    fn where_crates_come_from_reaches_a_build_of_its_own() {
        for name in ["CARGO_HOME", "CARGO_HTTP_PROXY", "CARGO_REGISTRIES_CRATES_IO_PROTOCOL", "RUSTUP_HOME", "PATH"] {
            assert!(!steers_a_build(name) && !describes_a_package(name), "{name}");
        }
    }

    #[test]
    fn a_failed_program_is_named_with_its_first_words() {
        let error = answer(Command::new("sh").args(["-c", "echo first >&2; echo last >&2; exit 3"])).unwrap_err();
        assert!(error.to_string().starts_with("sh: ") && error.to_string().ends_with("first"), "{error}");
    }
}
