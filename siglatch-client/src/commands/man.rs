//! `siglatch man`: manual pages, one a command. Never says what the commands do: their definition does.

use std::io;
use std::path::Path;

use clap::Command;
use clap::builder::Resettable;
use clap_mangen::Man;
use clap_mangen::roff::Roff;

use crate::cli::{self, ManArgs};
use crate::edge::files;
use crate::failure::Failure;

pub(super) fn run(args: &ManArgs) -> Result<(), Failure> {
    let mut command = cli::command().disable_help_subcommand(true);
    // Names every command by its whole name.
    command.build();
    write(&command, &args.dir)
}

fn write(command: &Command, folder: &Path) -> Result<(), Failure> {
    let path = folder.join(format!("{}.1", command.get_display_name().unwrap_or_else(|| command.get_name())));
    let page = page(command).map_err(|source| files::failure("write", &path, source))?;
    files::write(&path, &page)?;
    command.get_subcommands().filter(|command| !command.is_hide_set()).try_for_each(|command| write(command, folder))
}

/// The page, with the examples as they are typed: line by line.
fn page(command: &Command) -> io::Result<Vec<u8>> {
    let man = Man::new(command.clone().after_help(Resettable::Reset)).section("1").manual("siglatch");
    let mut page = Vec::new();
    man.render(&mut page)?;
    if let Some(examples) = command.get_after_help() {
        let mut roff = Roff::new();
        roff.control("SH", ["EXAMPLES"]).control("nf", []);
        for line in examples.to_string().trim_start_matches("Examples:\n").lines() {
            roff.text([clap_mangen::roff::roman(line)]);
        }
        roff.control("fi", []).to_writer(&mut page)?;
    }
    Ok(page)
}
