//! `siglatchctl user list`: who may knock, and for what. Never shows a key.

use clap::Args;

use crate::config::Settings;
use crate::ctl::config_file::ConfigFile;
use crate::ctl::load::Failure;
use crate::policy::User;

/// Show who may knock, and for what.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  siglatchctl user list --config ./siglatch.toml")]
pub(in crate::ctl) struct List {
    #[command(flatten)]
    config: ConfigFile,
}

impl List {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self.config.current()?.loaded {
            None => println!("Nobody may knock yet. Add the first user: siglatchctl user add NAME"),
            Some(loaded) => print!("{}", table(&loaded.settings)),
        }
        Ok(())
    }
}

fn table(settings: &Settings) -> String {
    let width = settings.policy.users().map(|user| user.name.len()).max().unwrap_or(0).max("NAME".len());
    let mut table = format!("{:>5}  {:width$}  {:8}  ACTIONS\n", "ID", "NAME", "STATE");
    for user in settings.policy.users() {
        let state = if user.enabled { "enabled" } else { "disabled" };
        let actions = actions(settings, user);
        table += &format!("{:>5}  {:width$}  {state:8}  {actions}\n", user.id.0, user.name);
    }
    table
}

fn actions(settings: &Settings, user: &User) -> String {
    let allowed = settings.policy.actions().filter(|action| action.is_for(user));
    let names: Vec<&str> = allowed.map(|action| action.name.as_str()).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
