//! The configuration's `[action.NAME]` tables. Never looks from one table at another.

mod grant;

use siglatch_common::address::Network;
use siglatch_common::wire::v1::ActionId;

use super::finding::{Code, Findings};
use super::people::networks;
use super::section::{Located, Section, distinct};
use super::{schema, value};
use crate::policy::{ActionKind, Service};

/// An action as far as the text goes; what is missing was reported.
pub(super) struct Deed<'t> {
    pub(super) name: Located<&'t str>,
    pub(super) id: Option<Located<ActionId>>,
    pub(super) users: Option<Located<Users<'t>>>,
    /// Whether it is only a step; nothing if its kind was not understood.
    pub(super) is_step: Option<bool>,
    /// What it grants.
    pub(super) services: Vec<Located<Service>>,
    pub(super) kind: Option<ActionKind>,
    pub(super) networks: Vec<Network>,
}

/// The names that an action's `users` holds.
pub(super) enum Users<'t> {
    All,
    Only(Vec<Located<&'t str>>),
}

pub(super) fn actions<'t>(root: &Section<'t>, findings: &mut Findings) -> Vec<Deed<'t>> {
    let sections = root.named("action", &schema::ACTION, findings);
    sections.into_iter().map(|(name, section)| action(name, &section, findings)).collect()
}

fn action<'t>(name: Located<&'t str>, section: &Section<'t>, findings: &mut Findings) -> Deed<'t> {
    let is_step = kind(section, findings);
    let mut deed = Deed {
        name,
        // 0 marks the replies of older daemons, which are signed with the user's key, too.
        id: section.number::<u8>("id", 1..=255, findings).map(|id| id.with(ActionId(id.value))),
        users: users(section, findings),
        is_step,
        services: Vec::new(),
        kind: (is_step == Some(true)).then_some(ActionKind::Step),
        networks: networks(section, findings),
    };
    if is_step == Some(true) {
        section.refuse(&["grant", "ttl", "max_ttl", "source"], "a step has no effect of its own", findings);
        return deed;
    }
    deed.services = section.parsed_list("grant", value::service, findings).unwrap_or_default();
    if section.place("grant").is_some() && section.is_empty_list("grant") {
        let help = "name at least one service, or write kind = \"step\" without grant";
        findings.report(Code::OutOfRange, section.value_place("grant"), "`grant` grants nothing", help);
    }
    let rule = grant::rule(section, &deed.services, findings);
    if is_step == Some(false) {
        deed.kind = Some(ActionKind::Grant(rule));
    }
    deed
}

/// Whether the action is only a step.
fn kind(section: &Section<'_>, findings: &mut Findings) -> Option<bool> {
    let grants = section.place("grant").is_some();
    match section.choice("kind", &[("grant", false), ("step", true)], findings) {
        Some(false) => {
            section.demand("grant", "kind = \"grant\" needs the services to open", findings);
            Some(false)
        }
        Some(true) => Some(true),
        None if section.place("kind").is_some() => None,
        None if grants => Some(false),
        None => {
            findings.report(
                Code::MissingKey,
                section.header(),
                format!("{} does nothing", section.title()),
                "write what it opens, for example grant = [\"tcp/22\"]; or kind = \"step\" for the step of a sequence",
            );
            None
        }
    }
}

fn users<'t>(section: &Section<'t>, findings: &mut Findings) -> Option<Located<Users<'t>>> {
    let span = section.value_place("users");
    if let Some(text) = section.text("users", &mut Findings::default()) {
        if text.value == "all" {
            return Some(text.with(Users::All));
        }
        let help = format!("write users = [\"{}\"], or \"all\"", text.value.escape_debug());
        findings.report(Code::WrongType, text.span, "`users` must be a list, or \"all\"", help);
        return None;
    }
    let names = section.texts("users", findings)?;
    Some(Located { value: Users::Only(distinct(names, findings)), span })
}
