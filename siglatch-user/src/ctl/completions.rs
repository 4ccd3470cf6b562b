//! `siglatchctl completions`: what makes a shell complete command lines. Never installs it.

use std::io::{self, Write as _};

use clap::{Args, Command};
use clap_complete::Shell;

use super::load::Failure;

/// Print what makes a shell complete this command line: for packages.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  siglatchctl completions bash >/usr/local/share/bash-completion/completions/siglatchctl
  siglatchctl completions zsh >/usr/local/share/zsh/site-functions/_siglatchctl")]
pub(super) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(super) fn run(&self, mut command: Command) -> Result<(), Failure> {
        let name = command.get_name().to_owned();
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, name, &mut script);
        Ok(io::stdout().lock().write_all(&script)?)
    }
}
