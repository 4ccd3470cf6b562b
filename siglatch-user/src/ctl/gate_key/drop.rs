//! `siglatchctl gate-key drop`: stamps of a gate key end to count. Never takes out the last one that a stamped port
//! needs, and never deletes a key file of the operator's own making.

use anyhow::Context as _;
use clap::Args;
use serde_json::json;

use super::text;
use super::usual_path;
use crate::ctl::config_file::{ConfigFile, tell_new_warnings};
use crate::ctl::load::{Failure, read};
use crate::ctl::show;
use crate::edge::files::{self, Disk};

/// Take a gate key out: whoever has no newer enrolment file cannot knock on stamped ports then.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  siglatchctl gate-key drop 0")]
pub(in crate::ctl) struct Drop {
    /// Which, as `siglatchctl gate-key list` shows it
    number: u8,
    /// One JSON object, for programs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigFile,
}

impl Drop {
    pub(super) fn run(self) -> Result<(), Failure> {
        let Self { number, json, config } = &self;
        let before = read(&config.file)?;
        let (after, dropped) =
            text::drop(&before, *number).with_context(|| format!("{} was not changed", config.file.display()))?;
        let judged = config.judge(after.clone(), &Disk).inspect_err(|_| {
            let file = config.file.display();
            eprintln!("siglatchctl: {file} was not changed. Without gate key {number} in it, it would say:\n");
        })?;
        files::replace(&config.file, after.as_bytes())?;

        tell_new_warnings(config.judge(before, &Disk).ok().flatten().as_ref(), judged.as_ref());
        let key_file = config.resolve(&dropped.file);
        // What `init` and `rotate` have made. Another file may be needed elsewhere.
        let is_deleted = dropped.file == usual_path(*number) && files::remove(&key_file).is_ok();
        if *json {
            return show::print(&format!("{}\n", json!({ "number": number, "key": key_file, "deleted": is_deleted })));
        }
        println!("Gate key {number} is taken out of {}.", config.file.display());
        match is_deleted {
            true => println!("  {} is deleted", key_file.display()),
            false => println!("  {} is left: take it away if nothing else needs it", key_file.display()),
        }
        println!("A daemon that is running takes stamps of it until:  siglatchctl reload{}", config.option());
        Ok(())
    }
}
