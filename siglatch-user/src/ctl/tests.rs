use clap::{Command, CommandFactory as _};

use super::{Cli, man};

/// Every command that is to be seen, with its whole name.
fn commands() -> Vec<Command> {
    fn add(command: &Command, found: &mut Vec<Command>) {
        for command in command.get_subcommands().filter(|command| !command.is_hide_set()) {
            found.push(command.clone());
            add(command, found);
        }
    }
    let mut cli = Cli::command().disable_help_subcommand(true);
    cli.build();
    let mut found = Vec::new();
    add(&cli, &mut found);
    assert!(found.len() > 30, "{}", found.len());
    found
}

#[test]
fn every_command_has_an_example_and_a_manual_page() {
    for command in commands() {
        let name = command.get_display_name().unwrap();
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let typed = format!("  {}", command.get_bin_name().unwrap());
        let has_example = help.starts_with("Example") && help.lines().any(|line| line.contains(typed.trim_start()));
        assert!(has_example, "{name} has no example: {help}");
        assert!(command.get_about().is_some(), "{name} does not say what it does");
        let page = String::from_utf8(man::page(&command).unwrap()).unwrap();
        assert!(page.contains(".SH NAME") && page.contains(".SH EXAMPLES\n.nf\n"), "{name}: {page}");
        let shown = typed.trim_start().replace('-', "\\-");
        assert!(page.contains(&shown), "{name} does not show {shown}: {page}");
    }
}

#[test]
fn whatever_prints_can_print_for_programs() {
    for command in commands().iter().filter(|command| command.get_subcommands().next().is_none()) {
        let name = command.get_display_name().unwrap();
        let has_json = command.get_arguments().any(|argument| argument.get_long() == Some("json"));
        assert!(has_json || WITHOUT_JSON.contains(&name), "{name} has no --json");
    }
}

/// Those that print a script, or take whole commands.
const WITHOUT_JSON: [&str; 2] = ["siglatchctl-completions", "siglatchctl-shell"];
