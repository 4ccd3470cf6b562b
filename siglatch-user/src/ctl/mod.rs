//! `siglatchctl`: what an operator types. One file a command; what they share is in `load`, `overlay` and `keygen`.
//! Never judges a knock.

mod actions;
mod audit;
mod ban;
mod bans;
pub mod check;
mod completions;
mod config_file;
mod debts;
mod debug;
mod edit;
mod enrolment;
pub mod exit;
mod explain;
mod extend;
mod for_daemon;
mod gate_key;
mod grants;
mod init;
mod keygen;
mod known;
mod listing;
pub mod load;
mod man;
mod overlay;
mod reach;
mod reload;
mod revoke;
mod route;
mod sequences;
mod shell;
mod show;
mod status;
mod switch;
#[cfg(test)]
mod tests;
mod top;
mod unban;
mod user;
mod users;
mod watch;
mod which;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

pub use load::{Failure, Loaded, load};

/// Sets up and tends a siglatch gateway.
#[derive(Debug, Parser)]
#[command(name = "siglatchctl", version, after_help = EXAMPLES, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(init::Init),
    #[command(subcommand)]
    User(user::User),
    #[command(subcommand)]
    GateKey(gate_key::Command),
    Check(check::Check),
    Reload(reload::Reload),
    Explain(explain::Explain),
    Status(status::ShowStatus),
    Top(top::Top),
    Watch(watch::Watch),
    Grants(grants::Grants),
    Revoke(revoke::Revoke),
    Extend(extend::Extend),
    Users(users::Users),
    Actions(actions::Actions),
    Sequences(sequences::Sequences),
    Debts(debts::Debts),
    Disable(switch::Disable),
    Enable(switch::Enable),
    Bans(bans::Bans),
    Ban(ban::Ban),
    Unban(unban::Unban),
    Known(known::Known),
    Audit(audit::Audit),
    #[command(subcommand)]
    Debug(debug::Command),
    Shell(shell::Shell),
    Man(man::Manual),
    Completions(completions::Completions),
}

/// Does what the arguments say, the program's name first. Prints what it did, or why not.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    match Cli::try_parse_from(arguments) {
        Ok(cli) => cli.command.run(),
        Err(wrong) => exit::usage(&wrong),
    }
}

impl Command {
    fn run(self) -> ExitCode {
        let done = match self {
            Self::Init(init) => init.run(),
            Self::User(user) => user.run(),
            Self::GateKey(gate_key) => gate_key.run(),
            Self::Check(check) => return check.run(),
            Self::Explain(explain) => explain.run(),
            Self::Reload(reload) => return reload.run().unwrap_or_else(|failure| failure.tell(PROGRAM)),
            Self::Status(status) => status.run(),
            Self::Top(top) => top.run(),
            Self::Watch(watch) => watch.run(),
            Self::Grants(grants) => grants.run(),
            Self::Revoke(revoke) => revoke.run(),
            Self::Extend(extend) => extend.run(),
            Self::Users(users) => users.run(),
            Self::Actions(actions) => actions.run(),
            Self::Sequences(sequences) => sequences.run(),
            Self::Debts(debts) => debts.run(),
            Self::Disable(disable) => disable.run(),
            Self::Enable(enable) => enable.run(),
            Self::Bans(bans) => bans.run(),
            Self::Ban(ban) => ban.run(),
            Self::Unban(unban) => unban.run(),
            Self::Known(known) => known.run(),
            Self::Audit(audit) => return audit.run(),
            Self::Debug(debug) => debug.run(),
            Self::Shell(shell) => return shell.run().unwrap_or_else(|failure| failure.tell(PROGRAM)),
            Self::Man(manual) => manual.run(Cli::command()),
            Self::Completions(completions) => completions.run(Cli::command()),
        };
        match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => failure.tell(PROGRAM),
        }
    }
}

const PROGRAM: &str = "siglatchctl";

const EXAMPLES: &str = "Examples:
  siglatchctl init --host gw.example.org     write a server key and a configuration
  siglatchctl user add alice                 make her key and the file to hand over
  siglatchctl gate-key rotate                make a new key for the stamps of clients
  siglatchctl check                          say what is wrong with the configuration
  siglatchctl explain no-rate                say what a finding means
  siglatchctl reload                         have the daemon go by it
  siglatchctl status                         show how the daemon is
  siglatchctl grants                         show who is let in
  siglatchctl revoke --user alice --cut      end what she has open
  siglatchctl disable user alice             keep her out
  siglatchctl ban 192.0.2.7 --for 2h         ban somebody
  siglatchctl audit --user alice --since 2h  say what she did

Exit status: 0 done, 1 not done, 64 the command line is wrong, 77 not permitted, 78 the configuration is wrong.";
