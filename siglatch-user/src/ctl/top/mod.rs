//! `siglatchctl top`: how the daemon is, live. Asks it at intervals; never changes anything.

mod canvas;
mod history;
mod screen;

use std::time::Duration;

use clap::Args;
use siglatch_common::units::Boot;

use super::load::Failure;
use super::reach::Reach;
use super::show;
use crate::admin::Status;
use crate::admin::protocol::Request;
use crate::causes::with_causes;
use crate::edge::admin::{AdminClient, AskError};
use crate::edge::clock;
use crate::edge::terminal::{Terminal, Woken, pause};
use canvas::Shades;
use history::History;
use screen::{Frame, screen};

/// Show live what comes in and what becomes of it, until q or Ctrl-C.
///
/// One line at each interval if standard output is no terminal.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  siglatchctl top\n  siglatchctl top --interval 10 >> flood.log\n  siglatchctl top --json | jq .frames"
)]
pub(super) struct Top {
    /// Seconds between two looks
    #[arg(long, value_name = "SECONDS", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=3600))]
    interval: u64,
    /// One JSON object at each interval, for programs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: Reach,
}

/// The daemon, asked again and again, also when another has taken over.
struct Asking {
    daemon: Reach,
    socket: std::path::PathBuf,
    client: Option<AdminClient>,
    before: Option<(Boot, Status)>,
}

impl Top {
    pub(super) fn run(self) -> Result<(), Failure> {
        let interval = Duration::from_secs(self.interval);
        let socket = self.daemon.path()?;
        let mut asking = Asking { client: None, daemon: self.daemon, socket, before: None };
        let mut status = asking.ask()?;
        if self.json {
            while show::print_to_reader(&format!("{}\n", serde_json::to_string(&status)?))? {
                status = asking.ask_until_answered(interval)?;
            }
            return Ok(());
        }
        match Terminal::take()? {
            Some(terminal) => live(terminal, &mut asking, status, interval),
            None => {
                while show::print_to_reader(&format!("{}\n", screen::line(&status)))? {
                    status = asking.ask_until_answered(interval)?;
                }
                Ok(())
            }
        }
    }
}

/// Draws until somebody does not want to look any more.
fn live(mut terminal: Terminal, asking: &mut Asking, mut status: Status, interval: Duration) -> Result<(), Failure> {
    let shades = Shades::of_this_terminal();
    let mut history = History::default();
    history.note(&status);
    let mut trouble = None;
    let mut due = clock::boot().after(interval);
    loop {
        let frame = Frame { status: &status, history: &history, trouble: trouble.as_deref(), interval, shades };
        let lines = screen(&frame, terminal.size());
        terminal.draw(&lines.iter().map(|line| line.painted(shades)).collect::<Vec<_>>())?;
        match terminal.wait(due.since(clock::boot()))? {
            Woken::Key(b'q' | b'Q' | CTRL_C) | Woken::Left => return Ok(()),
            Woken::Key(_) | Woken::Resized => {}
            Woken::Timeout => {
                due = clock::boot().after(interval);
                match asking.ask() {
                    Ok(fresh) => {
                        (status, trouble) = (fresh, None);
                        history.note(&status);
                    }
                    Err(error) if error.is_passing() => trouble = Some(with_causes(&error)),
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }
}

impl Asking {
    /// How the daemon is, with rates since it was last asked.
    fn ask(&mut self) -> Result<Status, AskError> {
        let mut client = match self.client.take() {
            Some(client) => client,
            None => self.daemon.client(&self.socket)?,
        };
        let mut status: Status = client.ask(&Request::Status {})?;
        self.client = Some(client);
        let now = clock::boot();
        let fresh = status.clone();
        if let Some((then, before)) = &self.before {
            status.pace(before, now.since(*then));
        }
        self.before = Some((now, fresh));
        Ok(status)
    }

    /// The same after so long, or as soon after that as a daemon answers.
    fn ask_until_answered(&mut self, interval: Duration) -> Result<Status, AskError> {
        loop {
            pause(interval);
            match self.ask() {
                Err(error) if error.is_passing() => eprintln!("siglatchctl: {}", with_causes(&error)),
                asked => return asked,
            }
        }
    }
}

/// ASCII: end of text.
const CTRL_C: u8 = 3;
