//! Finds and runs the program `nft`. Never decides what it is told.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nftables::helper::{self, NftablesError};
use nftables::schema::Nftables;

use super::FirewallError;
use super::target::Target;

/// The program.
#[derive(Clone, Debug)]
pub(super) struct Nft {
    program: PathBuf,
}

impl Nft {
    /// Looks for it where the shell does, and where services without a login's PATH find it.
    pub(super) fn find() -> Result<Self, FirewallError> {
        let path = env::var_os("PATH").unwrap_or_default();
        let folders = env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
        let program = folders.map(|folder| folder.join("nft")).find(|program| is_executable(program));
        Ok(Self { program: program.ok_or(FirewallError::NftMissing)? })
    }

    /// Carries out all commands or none.
    pub(super) fn apply(&self, batch: &Nftables<'_>, target: &Target) -> Result<(), FirewallError> {
        let doing = format!("to write table {}", target.table_name());
        helper::apply_ruleset_with_args(batch, Some(&self.program), helper::DEFAULT_ARGS.iter().copied())
            .map_err(|error| self.error(doing, error))
    }

    /// Asks whether all commands could be carried out.
    pub(super) fn check(&self, batch: &Nftables<'_>, target: &Target) -> Result<(), FirewallError> {
        let doing = format!("to check table {}", target.table_name());
        helper::apply_ruleset_with_args(batch, Some(&self.program), ["--check"])
            .map_err(|error| self.error(doing, error))
    }

    fn error(&self, doing: String, error: NftablesError) -> FirewallError {
        match error {
            NftablesError::NftFailed { stderr, .. } => FirewallError::NftRefused { doing, said: words(&stderr) },
            error => FirewallError::NftUnusable { program: self.program.clone(), source: error.into() },
        }
    }
}

/// The lines of complaint, without the input that `nft` quotes under them.
fn words(stderr: &str) -> String {
    let mut complaints: Vec<&str> = stderr.lines().filter(|line| line.contains("Error:")).collect();
    complaints.dedup();
    complaints.truncate(3);
    if complaints.is_empty() { stderr.trim().to_owned() } else { complaints.join("; ") }
}

fn is_executable(program: &Path) -> bool {
    fs::metadata(program).is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_come_without_the_quoted_input() {
        let stderr = "internal:0:0-0: Error: No such file or directory\n\n\ninternal:0:0-0: Error: Busy\n{...}\n^^^\n";
        assert_eq!(words(stderr), "internal:0:0-0: Error: No such file or directory; internal:0:0-0: Error: Busy");
        assert_eq!(words("nft: out of memory\n"), "nft: out of memory");
    }
}
