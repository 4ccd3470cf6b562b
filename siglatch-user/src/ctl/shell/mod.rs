//! `siglatchctl shell`: a prompt at which every command works without its first word. Never keeps a secret in its history,
//! as there is none in a command.

mod completion;
mod words;

use std::ffi::OsString;
use std::io::{self, BufRead as _, IsTerminal as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _, Parser as _};
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{CompletionType, Config, Editor};

use super::exit::{self, EX_USAGE};
use super::load::Failure;
use super::{Cli, Command};
use crate::edge::files;
use completion::Completions;
use words::words;

/// A prompt at which every command works without its first word, with completion and history.
///
/// Without a terminal, commands are taken from standard input, one a line; it exits with what the last that failed would have.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  siglatchctl shell
  echo 'ban 192.0.2.7 --for 2h' | siglatchctl shell")]
pub(super) struct Shell {
    /// The daemon's configuration, for every command [default: /etc/siglatch/siglatch.toml]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The daemon's socket, for every command
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
}

/// What came of a line.
enum Done {
    /// The next, please.
    Next(ExitCode),
    /// No more.
    Over,
}

impl Shell {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        if io::stdin().is_terminal() { self.at_a_terminal() } else { self.over_a_stream() }
    }

    fn over_a_stream(&self) -> Result<ExitCode, Failure> {
        let mut code = ExitCode::SUCCESS;
        for line in io::stdin().lock().lines() {
            match self.execute(&line?) {
                Done::Next(ExitCode::SUCCESS) => {}
                Done::Next(failed) => code = failed,
                Done::Over => break,
            }
        }
        Ok(code)
    }

    fn at_a_terminal(&self) -> Result<ExitCode, Failure> {
        let config = Config::builder()
            .history_ignore_space(true)
            .completion_type(CompletionType::List)
            .max_history_size(1000)?;
        let mut editor: Editor<Completions, FileHistory> = Editor::with_config(config.build())?;
        editor.set_helper(Some(Completions::new(self.config.clone(), self.socket.clone())));
        let history = history_file();
        if let Some(history) = &history {
            // The first time, there is none.
            let _ = editor.load_history(history);
        }
        println!("siglatchctl {}. help lists the commands, Tab completes, Ctrl-D ends.", env!("CARGO_PKG_VERSION"));
        loop {
            let line = match editor.readline("siglatch> ") {
                Ok(line) => line,
                Err(ReadlineError::Interrupted) => continue,
                Err(ReadlineError::Eof) => break,
                Err(error) => return Err(error.into()),
            };
            editor.add_history_entry(line.as_str())?;
            if let Done::Over = self.execute(&line) {
                break;
            }
        }
        if let Some(history) = &history {
            // Whoever has no home has no history.
            let _ = editor.save_history(history);
        }
        Ok(ExitCode::SUCCESS)
    }

    fn execute(&self, line: &str) -> Done {
        let words = match words(line) {
            Ok(words) => words,
            Err(flaw) => {
                eprintln!("siglatchctl: {flaw}");
                return Done::Next(ExitCode::from(EX_USAGE));
            }
        };
        match words.first().map(String::as_str) {
            None => return Done::Next(ExitCode::SUCCESS),
            Some(first) if first.starts_with('#') => return Done::Next(ExitCode::SUCCESS),
            Some("exit" | "quit") => return Done::Over,
            Some(_) => {}
        }
        let arguments = ["siglatchctl".to_owned()].into_iter().chain(self.with_our_daemon(words)).map(OsString::from);
        match Cli::try_parse_from(arguments) {
            Ok(Cli { command: Command::Shell(_) }) => {
                eprintln!("siglatchctl: this is the shell already");
                Done::Next(ExitCode::from(EX_USAGE))
            }
            Ok(Cli { mut command }) => {
                if let (Command::Check(check), Some(config)) = (&mut command, &self.config) {
                    check.by_default(config);
                }
                Done::Next(command.run())
            }
            Err(wrong) => Done::Next(exit::usage(&wrong)),
        }
    }

    /// The words, and which daemon is meant, for a command that wants to know and was not told.
    fn with_our_daemon(&self, mut words: Vec<String>) -> Vec<String> {
        let cli = Cli::command();
        let mut command = &cli;
        for word in &words {
            match command.find_subcommand(word) {
                Some(found) => command = found,
                None => break,
            }
        }
        let takes = |option: &str| command.get_arguments().any(|argument| argument.get_long() == Some(option));
        let is_said = |words: &[String], option: &str| {
            words
                .iter()
                .any(|word| word.strip_prefix(option).is_some_and(|rest| rest.is_empty() || rest.starts_with('=')))
        };
        if is_said(&words, "--config") || is_said(&words, "--socket") || words.iter().any(|word| word == "--help") {
            return words;
        }
        for (option, value) in [("config", &self.config), ("socket", &self.socket)] {
            if let Some(value) = value.as_ref().filter(|_| takes(option)) {
                words.extend([format!("--{option}"), value.display().to_string()]);
            }
        }
        words
    }
}

/// Where the history is kept: in the folder for such things (XDG Base Directory Specification 0.8).
fn history_file() -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = folder("XDG_STATE_HOME").or_else(|| folder("HOME").map(|home| home.join(".local/state")))?;
    let folder = state.join("siglatch");
    files::make_folder(&folder, 0o700).ok()?;
    Some(folder.join("history"))
}
