//! `siglatch completions`: what makes a shell complete command lines. Never installs it.

use crate::cli::{self, CompletionsArgs};
use crate::edge::terminal;
use crate::failure::Failure;

pub(super) fn run(args: &CompletionsArgs) -> Result<(), Failure> {
    let mut command = cli::command();
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, name, &mut script);
    terminal::put(&script)
}
