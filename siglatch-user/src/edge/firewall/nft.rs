//! Finds and runs the program `nft`. Never decides what it is told.

use std::env;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nftables::schema::Nftables;

use super::FirewallError;
use super::hand::Hand;
use super::target::Target;

/// The program.
#[derive(Clone, Debug)]
pub(super) struct Nft {
    program: PathBuf,
}

/// What it can be asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Task {
    /// To carry all commands out, or none.
    Apply,
    /// To say whether they could be.
    Check,
}

/// What became of that.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Ran {
    pub(super) is_done: bool,
    /// The beginning of its complaints.
    pub(super) said: String,
}

impl Ran {
    /// As much is kept, in bytes.
    pub(super) const SAID_MAX: u64 = 64 * 1024;
}

impl Nft {
    /// Looks for it where the shell does, and where services without a login's PATH find it.
    pub(super) fn find() -> Result<Self, FirewallError> {
        let path = env::var_os("PATH").unwrap_or_default();
        let folders = env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
        let program = folders.map(|folder| folder.join("nft")).find(|program| is_executable(program));
        Ok(Self { program: program.ok_or(FirewallError::NftMissing)? })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.program
    }

    /// Carries out all commands or none.
    pub(super) fn apply(&self, batch: &Nftables<'_>, target: &Target) -> Result<(), FirewallError> {
        self.ask(Task::Apply, batch, || format!("to write table {}", target.table_name()))
    }

    /// Asks whether all commands could be carried out.
    pub(super) fn check(&self, batch: &Nftables<'_>, target: &Target) -> Result<(), FirewallError> {
        self.ask(Task::Check, batch, || format!("to check table {}", target.table_name()))
    }

    fn ask(&self, task: Task, batch: &Nftables<'_>, doing: impl Fn() -> String) -> Result<(), FirewallError> {
        let unusable = |source| FirewallError::NftUnusable { program: self.program.clone(), source };
        let text = serde_json::to_string(batch).map_err(|error| unusable(error.into()))?;
        // A daemon that has given up its rights executes nothing itself.
        let ran = match Hand::of_this_process() {
            Some(hand) => hand.run(task, &text),
            None => self.run(task, text.as_bytes()),
        };
        match ran.map_err(|error| unusable(error.into()))? {
            Ran { is_done: true, .. } => Ok(()),
            Ran { is_done: false, said } => Err(FirewallError::NftRefused { doing: doing(), said: words(&said) }),
        }
    }

    /// Runs it in a process below this one, and waits for its end.
    pub(super) fn run(&self, task: Task, text: &[u8]) -> io::Result<Ran> {
        let check: &[&str] = match task {
            Task::Apply => &[],
            Task::Check => &["--check"],
        };
        let mut process = Command::new(&self.program)
            .args(check)
            .args(["-j", "-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        // It reads to the end before it says a word. If it ends before that, its words say why.
        let told = process.stdin.take().map_or(Ok(()), |mut input| input.write_all(text));
        let mut said = Vec::new();
        if let Some(mut errors) = process.stderr.take() {
            (&mut errors).take(Ran::SAID_MAX).read_to_end(&mut said)?;
            io::copy(&mut errors, &mut io::sink())?;
        }
        let is_done = process.wait()?.success();
        if is_done {
            told?;
        }
        let mut said = String::from_utf8_lossy(&said).into_owned();
        said.truncate(said.floor_char_boundary(Ran::SAID_MAX as usize));
        Ok(Ran { is_done, said })
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
