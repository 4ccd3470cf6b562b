//! `siglatchctl man`: manual pages, one a command. Never says what the commands do: their definition does.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::builder::Resettable;
use clap::{Args, Command};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use super::load::Failure;
use crate::edge::files;

/// Write the manual pages: for packages.
#[derive(Args, Debug)]
#[command(
    hide = true,
    after_help = "Examples:
  siglatchctl man --dir /usr/local/share/man/man1"
)]
pub(super) struct Manual {
    /// Where to, one file a command
    #[arg(long, value_name = "FOLDER")]
    dir: PathBuf,
}

impl Manual {
    pub(super) fn run(&self, command: Command) -> Result<(), Failure> {
        let mut command = command.disable_help_subcommand(true);
        // Names every command by its whole name.
        command.build();
        Ok(write(&command, &self.dir)?)
    }
}

fn write(command: &Command, folder: &Path) -> anyhow::Result<()> {
    let path = folder.join(format!("{}.1", command.get_display_name().unwrap_or_else(|| command.get_name())));
    let page = page(command).with_context(|| format!("cannot make {}", path.display()))?;
    files::create(&path, 0o644, &page)?;
    command.get_subcommands().filter(|command| !command.is_hide_set()).try_for_each(|command| write(command, folder))
}

/// The page, with the examples as they are typed: line by line.
pub(super) fn page(command: &Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    Man::new(command.clone().after_help(Resettable::Reset)).section("1").manual("siglatch").render(&mut page)?;
    if let Some(examples) = command.get_after_help() {
        let mut roff = Roff::new();
        roff.control("SH", ["EXAMPLES"]).control("nf", []);
        let examples = examples.to_string();
        for line in examples.lines().filter(|line| !matches!(*line, "Examples:" | "Example:")) {
            roff.text([roman(line)]);
        }
        roff.control("fi", []).to_writer(&mut page)?;
    }
    Ok(page)
}
