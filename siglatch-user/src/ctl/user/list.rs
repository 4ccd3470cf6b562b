//! `siglatchctl user list`: who may knock, and for what. Never shows a key.

use clap::Args;
use serde_json::json;

use crate::config::Settings;
use crate::ctl::config_file::ConfigFile;
use crate::ctl::load::Failure;
use crate::ctl::show;
use crate::policy::User;

/// Show who may knock, and for what.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  siglatchctl user list --config ./siglatch.toml\n  siglatchctl user list --json")]
pub(in crate::ctl) struct List {
    /// One JSON object a line, for programs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigFile,
}

impl List {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self.config.current()?.loaded {
            loaded if self.json => {
                for user in loaded.iter().flat_map(|loaded| loaded.settings.policy.users()) {
                    let actions = loaded.as_ref().map(|loaded| actions(&loaded.settings, user)).unwrap_or_default();
                    let User { id, name, enabled, admin, .. } = user;
                    let said =
                        json!({ "name": name, "id": id.0, "enabled": enabled, "admin": admin, "actions": actions });
                    show::print(&format!("{said}\n"))?;
                }
            }
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
        let actions = if actions.is_empty() { "none".to_owned() } else { actions.join(", ") };
        table += &format!("{:>5}  {:width$}  {state:8}  {actions}\n", user.id.0, user.name);
    }
    table
}

fn actions<'a>(settings: &'a Settings, user: &User) -> Vec<&'a str> {
    let allowed = settings.policy.actions().filter(|action| action.is_for(user));
    allowed.map(|action| action.name.as_str()).collect()
}
