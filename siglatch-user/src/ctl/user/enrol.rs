//! `siglatchctl user enrol`: writes the file to hand over again. Never makes a new key.

use std::path::PathBuf;

use anyhow::anyhow;
use clap::Args;
use serde_json::json;

use super::ForWire;
use crate::config::Settings;
use crate::ctl::config_file::{ConfigFile, must_be_new};
use crate::ctl::load::Failure;
use crate::ctl::{enrolment, show};
use crate::edge::files;

/// Write a user's file to hand over again: after a change, or for a second machine.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  siglatchctl user enrol alice --out alice.siglatch
  siglatchctl user enrol bob --wire sealed")]
pub(in crate::ctl) struct Enrol {
    /// Who
    #[arg(value_name = "USER")]
    name: String,
    /// Where to write the file to hand over [default: NAME.siglatch, here]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    wire: ForWire,
    /// One JSON object, for programs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigFile,
}

impl Enrol {
    pub(super) fn run(self) -> Result<(), Failure> {
        let Self { name, out, wire: ForWire { wire }, json, config } = self;
        let settings = config.current()?.loaded.map(|loaded| loaded.settings);
        let text = settings.as_ref().and_then(|settings| enrolment::text(settings, &name, wire));
        let text = text.ok_or_else(|| anyhow!("there is no user {name}{}", hint(&name, settings.as_ref())))??;
        let out = out.unwrap_or_else(|| PathBuf::from(format!("{name}.siglatch")));
        must_be_new(&out, "name another file with --out")?;
        files::create(&out, 0o600, text.as_bytes())?;
        if json {
            return show::print(&format!("{}\n", json!({ "name": name, "enrolment": out })));
        }
        println!("Wrote {}. Next, on {name}'s machine:  siglatch import {0}", out.display());
        Ok(())
    }
}

fn hint(name: &str, settings: Option<&Settings>) -> String {
    let names = settings.into_iter().flat_map(|settings| settings.policy.users()).map(|user| user.name.as_str());
    match names.take(10).collect::<Vec<_>>().join(", ") {
        names if names.is_empty() => format!(" yet: siglatchctl user add {name}"),
        names => format!("; there are: {names}"),
    }
}
