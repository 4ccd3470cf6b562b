//! `siglatchctl gate-key drop`: stamps of a gate key end to count. Never takes out the last one that a stamped port
//! needs, and never deletes a key file of the operator's own making.

use anyhow::Context as _;
use clap::Args;

use super::text;
use super::usual_path;
use crate::ctl::config_file::{ConfigFile, tell_new_warnings};
use crate::ctl::load::{Failure, read};
use crate::edge::files::{self, Disk};

/// Take a gate key out: whoever has no newer enrolment file cannot knock on stamped ports then.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  siglatchctl gate-key drop 0")]
pub(in crate::ctl) struct Drop {
    /// Which, as `siglatchctl gate-key list` shows it
    number: u8,
    #[command(flatten)]
    config: ConfigFile,
}

impl Drop {
    pub(super) fn run(self) -> Result<(), Failure> {
        let Self { number, config } = &self;
        let before = read(&config.file)?;
        let (after, dropped) =
            text::drop(&before, *number).with_context(|| format!("{} was not changed", config.file.display()))?;
        let judged = config.judge(after.clone(), &Disk).inspect_err(|_| {
            let file = config.file.display();
            eprintln!("siglatchctl: {file} was not changed. Without gate key {number} in it, it would say:\n");
        })?;
        files::replace(&config.file, after.as_bytes())?;

        tell_new_warnings(config.judge(before, &Disk).ok().flatten().as_ref(), judged.as_ref());
        println!("Gate key {number} is taken out of {}.", config.file.display());
        let key_file = config.resolve(&dropped.file);
        // What `init` and `rotate` have made. Another file may be needed elsewhere.
        match dropped.file == usual_path(*number) && files::remove(&key_file).is_ok() {
            true => println!("  {} is deleted", key_file.display()),
            false => println!("  {} is left: take it away if nothing else needs it", key_file.display()),
        }
        println!("A daemon that is running takes stamps of it until it is started again.");
        Ok(())
    }
}
