//! `siglatchctl user add`: makes a key, a table in the configuration, and the file to hand over. Never leaves a
//! configuration behind that the daemon would not start with.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use serde_json::json;
use toml_edit::Datetime;
use zeroize::Zeroizing;

use super::ForWire;
use crate::config::{Given, Settings};
use crate::ctl::config_file::{ConfigFile, must_be_new, tell_new_warnings};
use crate::ctl::edit::{NewUser, add_user};
use crate::ctl::for_daemon::ForDaemon;
use crate::ctl::load::{Failure, judge};
use crate::ctl::overlay::Overlay;
use crate::ctl::{enrolment, keygen, show};
use crate::edge::files;

/// Let somebody knock: make the key and one small file to hand over.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  siglatchctl user add alice
  siglatchctl user add bob --actions ssh,db --out bob.siglatch
  siglatchctl user add carol --groups ops --until 2030-01-01T00:00:00Z
  siglatchctl user add envelope --actions ssh --uses 1")]
pub(in crate::ctl) struct Add {
    /// Who: 1 to 32 of A-Z a-z 0-9 . _ -
    name: String,
    /// The number in this user's knocks [default: one more than the highest]
    #[arg(long, value_name = "N")]
    id: Option<u16>,
    /// Actions that are not for all: their `users` get the name too
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    actions: Vec<String>,
    /// Groups that the user is in: actions name them beside users
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    groups: Vec<String>,
    /// So many knocks have an effect, then the key is used up [default: any number]
    #[arg(long, value_name = "N")]
    uses: Option<u32>,
    /// From this moment on the user's knocks are refused, for example 2030-01-01T00:00:00Z [default: never]
    #[arg(long, value_name = "MOMENT")]
    until: Option<Datetime>,
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

impl Add {
    pub(super) fn run(self) -> Result<(), Failure> {
        let Self { name, config, .. } = &self;
        let current = config.current()?;
        let id = self.id.or_else(|| next_id(current.loaded.as_ref().map(|loaded| &loaded.settings)));
        let id = id.context("every id is taken: name one with --id, and take its user out first")?;
        let key_path = format!("keys/{name}.key");
        let key_file = config.resolve(&key_path);
        let out = self.out.clone().unwrap_or_else(|| PathBuf::from(format!("{name}.siglatch")));

        let Self { actions, groups, uses, until, .. } = &self;
        let user = NewUser { name, id, key: &key_path, actions, groups, uses: *uses, until: *until };
        let text =
            add_user(&current.text, user).with_context(|| format!("{} was not changed", config.file.display()))?;
        let hex = Zeroizing::new(keygen::user_key()?.to_hex_file());
        let would_be = Overlay::new([(key_file.clone(), hex.as_slice())]);
        let loaded = judge(&config.file, text.clone(), &Given::by_machine(false), &would_be).inspect_err(|_| {
            eprintln!("siglatchctl: {} was not changed. With {name} in it, it would say:\n", config.file.display());
        })?;
        let enrolment =
            enrolment::text(&loaded.settings, name, self.wire.wire).context("the user just added is not there")??;

        must_be_new(&key_file, "it is somebody's key; take it away if it is not needed")?;
        must_be_new(&out, "name another file with --out")?;
        let for_daemon = ForDaemon::of(loaded.settings.daemon_user.as_deref());
        for_daemon.make_folder_of(&key_file)?;
        for_daemon.create_key(&key_file, &*hex)?;
        if let Err(error) = files::replace(&config.file, text.as_bytes()) {
            let _ = files::remove(&key_file);
            return Err(error.into());
        }
        files::create(&out, 0o600, enrolment.as_bytes())
            .with_context(|| format!("{name} was added, but there is no file to hand over yet; write it with: siglatchctl user enrol {name} --out FILE"))?;

        tell_new_warnings(current.loaded.as_ref(), Some(&loaded));
        if self.json {
            let made =
                json!({ "name": name, "id": id, "key": key_file, "configuration": config.file, "enrolment": out });
            return show::print(&format!("{made}\n"));
        }
        println!("{name} may knock, as user {id}.");
        println!("  key           {}", key_file.display());
        println!("  configuration {}", config.file.display());
        println!("  to hand over  {}  (in private: whoever has it can knock as {name})", out.display());
        println!(
            "Next, on {name}'s machine:  siglatch import {}",
            out.file_name().unwrap_or(out.as_os_str()).display()
        );
        println!("A daemon that is running learns of {name} from:  siglatchctl reload{}", config.option());
        Ok(())
    }
}

/// One more than the highest, so that no new user answers to an old one's number; else the lowest that is free.
fn next_id(settings: Option<&Settings>) -> Option<u16> {
    let taken = || settings.into_iter().flat_map(|settings| settings.policy.users()).map(|user| user.id.0);
    let Some(highest) = taken().max() else { return Some(1) };
    highest.checked_add(1).or_else(|| {
        let taken: std::collections::BTreeSet<u16> = taken().collect();
        (1..=u16::MAX).find(|id| !taken.contains(id))
    })
}
