//! `siglatchctl gate-key rotate`: a new key beside the old ones. Never takes one out, and never leaves a configuration
//! behind that the daemon would not start with.

use anyhow::{Context as _, anyhow};
use clap::Args;
use serde_json::json;
use siglatch_common::stamp::GATE_KEYS;
use zeroize::Zeroizing;

use super::{text, usual_path};
use crate::config::Settings;
use crate::ctl::config_file::{ConfigFile, must_be_new, tell_new_warnings};
use crate::ctl::for_daemon::ForDaemon;
use crate::ctl::keygen;
use crate::ctl::load::{Failure, read};
use crate::ctl::overlay::Overlay;
use crate::ctl::show;
use crate::edge::files::{self, Disk};

/// Make a new gate key: new enrolment files get it, and the old ones count on.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  siglatchctl gate-key rotate")]
pub(in crate::ctl) struct Rotate {
    /// One JSON object, for programs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigFile,
}

impl Rotate {
    pub(super) fn run(self) -> Result<(), Failure> {
        let Self { json, config } = &self;
        let before = read(&config.file)?;
        let old = text::gate_keys(&before)?;
        let number = (0..GATE_KEYS as u8).find(|number| old.iter().all(|key| key.number != *number));
        let number = number.ok_or_else(|| {
            let drop = format!("siglatchctl gate-key drop N{}", config.option());
            anyhow!("there are {GATE_KEYS} gate keys already, and a host has at most so many: drop one first: {drop}")
        })?;
        let path = usual_path(number);
        let key_file = config.resolve(&path);
        let after =
            text::add(&before, number, &path).with_context(|| format!("{} was not changed", config.file.display()))?;
        let hex = Zeroizing::new(keygen::gate_key()?.to_hex_file());
        let would_be = Overlay::new([(key_file.clone(), hex.as_slice())]);
        let judged = config.judge(after.clone(), &would_be).inspect_err(|_| {
            let file = config.file.display();
            eprintln!("siglatchctl: {file} was not changed. With gate key {number} in it, it would say:\n");
        })?;

        must_be_new(&key_file, "it may be a gate key that was dropped; take it away if it is not needed")?;
        let user = judged.as_ref().and_then(|loaded| loaded.settings.daemon_user.as_deref());
        let for_daemon = ForDaemon::of(user.or_else(|| judged.is_none().then_some(Settings::DEFAULT_DAEMON_USER)));
        for_daemon.make_folder_of(&key_file)?;
        for_daemon.create_key(&key_file, &*hex)?;
        if let Err(error) = files::replace(&config.file, after.as_bytes()) {
            let _ = files::remove(&key_file);
            return Err(error.into());
        }

        tell_new_warnings(config.judge(before, &Disk).ok().flatten().as_ref(), judged.as_ref());
        if *json {
            return show::print(&format!(
                "{}\n",
                json!({ "number": number, "key": key_file, "configuration": config.file })
            ));
        }
        println!("Made gate key {number}.");
        println!("  key           {}", key_file.display());
        println!("  configuration {}", config.file.display());
        println!("Next:");
        println!("  siglatchctl reload{}  every gate key counts from then on", config.option());
        println!("  siglatchctl user enrol NAME{}  for each user, and hand the new files over", config.option());
        if let Some(oldest) = old.first() {
            let option = config.option();
            println!("  siglatchctl gate-key drop {}{option}  when everybody has theirs", oldest.number);
        }
        Ok(())
    }
}
