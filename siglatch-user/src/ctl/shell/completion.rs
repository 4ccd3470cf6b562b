//! What can come next at the prompt: commands, options, their values, and names that the daemon has. Never changes anything.

use std::path::PathBuf;

use clap::{Arg, Command, CommandFactory as _};
use rustyline::completion::{Completer, Pair};
use rustyline::{Context, Helper, Highlighter, Hinter, Validator};

use super::words::words;
use crate::admin::protocol::Request;
use crate::admin::{ActionList, SequenceList, Status, UserPage, UsersQuery};
use crate::ctl::Cli;
use crate::ctl::reach::Reach;
use crate::edge::admin::AdminClient;

/// Completes a line.
#[derive(Helper, Highlighter, Hinter, Validator)]
pub(super) struct Completions {
    cli: Command,
    daemon: Reach,
}

/// What kind of name the daemon has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Names {
    Users,
    Actions,
    Sequences,
    Ports,
}

/// What can come next.
#[derive(Debug, Eq, PartialEq)]
enum Next {
    /// One of these.
    Words(Vec<String>),
    /// A name.
    Name(Names),
}

impl Completions {
    pub(super) fn new(config: Option<PathBuf>, socket: Option<PathBuf>) -> Self {
        let mut cli = Cli::command();
        cli.build();
        Self { cli, daemon: Reach::to(config, socket) }
    }

    /// The names that the daemon has; none if it does not answer.
    fn names(&self, names: Names) -> Vec<String> {
        let Ok(mut client) = self.daemon.connect() else {
            return Vec::new();
        };
        ask(&mut client, names).unwrap_or_default()
    }
}

impl Completer for Completions {
    type Candidate = Pair;

    fn complete(&self, line: &str, pos: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let before = line.get(..pos).unwrap_or_default();
        let start = before.rfind(char::is_whitespace).map_or(0, |place| place + 1);
        let (said, begun) = before.split_at(start);
        let candidates = match next(&self.cli, &words(said).unwrap_or_default(), begun) {
            Next::Words(words) => words,
            Next::Name(names) => self.names(names),
        };
        let fitting = candidates.into_iter().filter(|word| word.starts_with(begun));
        Ok((start, fitting.map(|word| Pair { display: word.clone(), replacement: format!("{word} ") }).collect()))
    }
}

fn ask(client: &mut AdminClient, names: Names) -> Option<Vec<String>> {
    let names = match names {
        Names::Users => {
            let page: UserPage = client.ask(&Request::Users(UsersQuery::default())).ok()?;
            page.users.into_iter().map(|user| user.name).collect()
        }
        Names::Actions => {
            let list: ActionList = client.ask(&Request::Actions {}).ok()?;
            list.actions.into_iter().map(|action| action.name).collect()
        }
        Names::Sequences => {
            let list: SequenceList = client.ask(&Request::Sequences {}).ok()?;
            list.sequences.into_iter().map(|sequence| sequence.name).collect()
        }
        Names::Ports => {
            let status: Status = client.ask(&Request::Status {}).ok()?;
            status.ports.iter().map(|port| port.port.to_string()).collect()
        }
    };
    Some(names)
}

/// What can come behind these words, if what comes begins so.
fn next(cli: &Command, said: &[String], begun: &str) -> Next {
    let (mut command, mut rest) = (cli, said);
    while let Some((word, more)) = rest.split_first() {
        let Some(found) = command.find_subcommand(word) else { break };
        (command, rest) = (found, more);
    }
    let option = rest.last().and_then(|word| word.strip_prefix("--")).and_then(|name| {
        command
            .get_arguments()
            .find(|argument| argument.get_long() == Some(name) && argument.get_action().takes_values())
    });
    if let Some(option) = option {
        return of_argument(option, rest);
    }
    if begun.starts_with('-') {
        let options = command.get_arguments().filter(|argument| !argument.is_hide_set());
        return Next::Words(options.filter_map(|option| Some(format!("--{}", option.get_long()?))).collect());
    }
    let visible = command.get_subcommands().filter(|command| !command.is_hide_set());
    let mut words: Vec<_> = visible.map(|command| command.get_name().to_owned()).collect();
    if said.is_empty() {
        words.push("exit".to_owned());
    }
    if !words.is_empty() && rest.is_empty() {
        return Next::Words(words);
    }
    let place = positionals(command, rest);
    match command.get_positionals().nth(place.len()) {
        Some(argument) => of_argument(argument, &place),
        None => Next::Words(Vec::new()),
    }
}

/// The words that are no options, nor their values.
fn positionals(command: &Command, words: &[String]) -> Vec<String> {
    let mut place = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.strip_prefix("--") {
            None => place.push(word.clone()),
            Some(name) => {
                let takes_value = |argument: &&Arg| argument.get_action().takes_values();
                let option = command.get_arguments().find(|argument| argument.get_long() == Some(name));
                if option.filter(takes_value).is_some() {
                    words.next();
                }
            }
        }
    }
    place
}

fn of_argument(argument: &Arg, before: &[String]) -> Next {
    let values = argument.get_possible_values();
    if !values.is_empty() {
        return Next::Words(values.iter().map(|value| value.get_name().to_owned()).collect());
    }
    let name = argument.get_value_names().and_then(|names| names.first()).map_or("", |name| name.as_str());
    let is_about = |word: &str| before.first().is_some_and(|first| first == word);
    match name {
        "USER" => Next::Name(Names::Users),
        "ACTION" => Next::Name(Names::Actions),
        "NAME" if argument.get_id() == "user" => Next::Name(Names::Users),
        "NAME" if is_about("user") => Next::Name(Names::Users),
        "NAME" if is_about("action") => Next::Name(Names::Actions),
        "NAME" if is_about("sequence") => Next::Name(Names::Sequences),
        "NAME" if is_about("port") => Next::Name(Names::Ports),
        _ => Next::Words(Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(said: &str, begun: &str) -> Next {
        let mut cli = Cli::command();
        cli.build();
        next(&cli, &words(said).unwrap(), begun)
    }

    fn words_after(said: &str, begun: &str) -> Vec<String> {
        match after(said, begun) {
            Next::Words(words) => words,
            Next::Name(names) => panic!("{names:?}"),
        }
    }

    #[test]
    fn commands_options_and_values_come_where_they_can() {
        let first = words_after("", "");
        for word in ["grants", "revoke", "users", "reload", "exit"] {
            assert!(first.iter().any(|first| first == word), "{word}");
        }
        assert!(!first.iter().any(|word| word == "man"));
        assert_eq!(words_after("debug", ""), ["on", "off", "list", "help"]);
        let options = words_after("bans", "--");
        assert!(options.contains(&"--reason".to_owned()) && options.contains(&"--json".to_owned()), "{options:?}");
        assert_eq!(words_after("bans --sort", ""), ["network", "until", "hits", "since"]);
        assert_eq!(words_after("disable", "u"), ["user", "action", "port", "sequence"]);
        assert_eq!(words_after("ban", ""), [""; 0]);
    }

    #[test]
    fn names_come_from_the_daemon() {
        for (said, names) in [
            ("grants --user", Names::Users),
            ("grants --action", Names::Actions),
            ("disable user", Names::Users),
            ("disable --for 2h action", Names::Actions),
            ("enable sequence", Names::Sequences),
            ("enable port", Names::Ports),
            ("debug on --user", Names::Users),
            ("user enrol", Names::Users),
        ] {
            assert_eq!(after(said, ""), Next::Name(names), "{said}");
        }
    }
}
