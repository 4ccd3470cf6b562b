//! `siglatchctl gate-key list`: which gate keys count, and which one new clients get. Never shows a key.

use clap::Args;
use serde_json::json;

use super::text::{self, GateKeyEntry};
use crate::ctl::config_file::ConfigFile;
use crate::ctl::load::Failure;

/// Show the gate keys, and which one new enrolment files get.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  siglatchctl gate-key list\n  siglatchctl gate-key list --json")]
pub(in crate::ctl) struct List {
    /// One JSON object a line, with number, file and whether new enrolment files get it
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigFile,
}

impl List {
    pub(super) fn run(self) -> Result<(), Failure> {
        let Self { json, config } = &self;
        let keys = text::gate_keys(&config.current()?.text)?;
        if *json {
            for (key, newest) in marked(&keys) {
                let file = config.resolve(&key.file).display().to_string();
                println!("{}", json!({ "number": key.number, "file": file, "newest": newest }));
            }
        } else if keys.is_empty() {
            println!("There is no gate key. Make one: siglatchctl gate-key rotate{}", config.option());
        } else {
            print!("{}", table(&keys));
        }
        Ok(())
    }
}

fn table(keys: &[GateKeyEntry]) -> String {
    let width = keys.iter().map(|key| key.file.chars().count()).max().unwrap_or(0).max("FILE".len());
    let mut table = format!("NUMBER  {:width$}  ENROLMENTS\n", "FILE");
    for (key, newest) in marked(keys) {
        table += &format!("{:>6}  {:width$}  {}\n", key.number, key.file, if newest { "new ones" } else { "old ones" });
    }
    table
}

/// Each with whether it is the newest.
fn marked(keys: &[GateKeyEntry]) -> impl Iterator<Item = (&GateKeyEntry, bool)> {
    keys.iter().enumerate().map(|(index, key)| (key, index + 1 == keys.len()))
}
