//! `siglatchctl`: what an operator types. One file a command; what they share is in `load`, `overlay` and `keygen`.
//! Never judges a knock.

mod audit;
mod ban;
mod bans;
pub mod check;
mod completions;
mod config_file;
mod debug;
mod edit;
mod enrolment;
mod gate_key;
mod init;
mod keygen;
pub mod load;
mod man;
mod overlay;
mod reach;
mod route;
mod show;
mod status;
mod top;
mod unban;
mod user;

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
    Status(status::ShowStatus),
    Top(top::Top),
    Bans(bans::Bans),
    Ban(ban::Ban),
    Unban(unban::Unban),
    Audit(audit::Audit),
    #[command(subcommand)]
    Debug(debug::Command),
    Man(man::Manual),
    Completions(completions::Completions),
}

/// Does what the arguments say, the program's name first. Prints what it did, or why not.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(usage) => usage.exit(),
    };
    let done = match cli.command {
        Command::Init(init) => init.run(),
        Command::User(user) => user.run(),
        Command::GateKey(gate_key) => gate_key.run(),
        Command::Check(check) => return check.run(),
        Command::Status(status) => status.run(),
        Command::Top(top) => top.run(),
        Command::Bans(bans) => bans.run(),
        Command::Ban(ban) => ban.run(),
        Command::Unban(unban) => unban.run(),
        Command::Audit(audit) => return audit.run(),
        Command::Debug(debug) => debug.run(),
        Command::Man(manual) => manual.run(Cli::command()),
        Command::Completions(completions) => completions.run(Cli::command()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.tell("siglatchctl"),
    }
}

const EXAMPLES: &str = "Examples:
  siglatchctl init --host gw.example.org     write a server key and a configuration
  siglatchctl user add alice                 make her key and the file to hand over
  siglatchctl gate-key rotate                make a new key for the stamps of clients
  siglatchctl check                          say what is wrong with the configuration
  siglatchctl status                         show how the daemon is
  siglatchctl ban 192.0.2.7 --for 2h         ban somebody
  siglatchctl audit --user alice --since 2h  say what she did";
