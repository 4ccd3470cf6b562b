//! The configuration's `[action.NAME]` tables. Never looks from one table at another.

mod exec;
mod grant;
mod kind;
mod revoke;

use std::num::NonZeroU32;

use jiff::tz::TimeZone;
use siglatch_common::address::Network;
use siglatch_common::wire::v1::ActionId;

use super::finding::{Code, Findings, Span};
use super::section::{Located, Section, distinct};
use super::{hours, schema, terms, value};
use crate::policy::{Builtin, Hours, Period};

pub(super) use exec::{Exec, at_once};
pub(super) use grant::Grant;
pub(super) use revoke::Revoke;

use kind::Kind;

/// An action as far as the text goes; what is missing was reported.
pub(super) struct Deed<'t> {
    pub(super) name: Located<&'t str>,
    /// Whether knocks can ask for it. A program without `id` only others can name.
    pub(super) is_public: bool,
    pub(super) id: Option<Located<ActionId>>,
    /// Who may ask for it; nothing if that was not understood, or if nobody can.
    pub(super) askers: Option<Askers<'t>>,
    pub(super) networks: Vec<Network>,
    pub(super) period: Period,
    pub(super) hours: Option<Hours>,
    pub(super) uses: Option<NonZeroU32>,
    pub(super) dry_run: bool,
    /// What it does; nothing if its kind was not understood.
    pub(super) work: Option<Work<'t>>,
}

/// What an action does.
pub(super) enum Work<'t> {
    /// Nothing: it is a step of a sequence.
    Step,
    Grant(Grant<'t>),
    Revoke(Revoke<'t>),
    Exec(Box<Exec<'t>>),
    Builtin(Option<Builtin>),
}

/// Who may ask for an action.
pub(super) struct Askers<'t> {
    pub(super) users: Users<'t>,
    pub(super) groups: Vec<Located<&'t str>>,
    /// Where the text says so.
    pub(super) span: Span,
}

/// The names that an action's `users` holds.
pub(super) enum Users<'t> {
    All,
    Only(Vec<Located<&'t str>>),
}

pub(super) fn read<'t>(root: &Section<'t>, zone: &TimeZone, findings: &mut Findings) -> Vec<Deed<'t>> {
    let sections = root.named("action", &schema::ACTION, findings);
    sections.into_iter().map(|(name, section)| action(name, &section, zone, findings)).collect()
}

fn action<'t>(name: Located<&'t str>, section: &Section<'t>, zone: &TimeZone, findings: &mut Findings) -> Deed<'t> {
    let kind = kind::read(section, findings);
    let is_public = kind != Some(Kind::Exec) || PUBLIC.iter().any(|key| section.place(key).is_some());
    if is_public {
        section.demand("id", "a knock asks for an action by its number", findings);
    } else {
        section.refuse(ASKED, "without `id` no knock can ask for it", findings);
    }
    let networks = terms::networks(section, findings);
    let work = kind.map(|kind| work(kind, section, &networks, findings));
    Deed {
        name,
        is_public,
        // 0 marks the replies of older daemons, which are signed with the user's key, too.
        id: section.number::<u8>("id", 1..=255, findings).map(|id| id.with(ActionId(id.value))),
        askers: if is_public { askers(section, findings) } else { None },
        networks,
        period: terms::period(section, findings),
        hours: hours::hours(section, zone, findings),
        uses: terms::uses(section, findings),
        dry_run: section.flag("dry_run", findings).unwrap_or(false),
        work,
    }
}

fn work<'t>(kind: Kind, section: &Section<'t>, networks: &[Network], findings: &mut Findings) -> Work<'t> {
    kind.refuse_others_keys(section, findings);
    match kind {
        Kind::Step => Work::Step,
        Kind::Grant => Work::Grant(grant::read(section, networks, findings)),
        Kind::Revoke => Work::Revoke(revoke::read(section, findings)),
        Kind::Exec => Work::Exec(Box::new(exec::read(section, findings))),
        Kind::Builtin => {
            let words = BUILTINS.map(|builtin| (builtin.label(), builtin));
            Work::Builtin(section.choice("builtin", &words, findings))
        }
    }
}

fn askers<'t>(section: &Section<'t>, findings: &mut Findings) -> Option<Askers<'t>> {
    let has_groups = section.place("groups").is_some();
    if !has_groups {
        section.demand("users", "without it, or `groups`, nobody may ask for it", findings);
    }
    let groups = section.parsed_list("groups", value::name, findings).or((!has_groups).then(Vec::new));
    let span = section.value_place(if section.place("users").is_some() { "users" } else { "groups" });
    let users = match section.place("users") {
        Some(_) => users(section, findings)?,
        None if has_groups => Users::Only(Vec::new()),
        None => return None,
    };
    Some(Askers { users, groups: groups?, span })
}

fn users<'t>(section: &Section<'t>, findings: &mut Findings) -> Option<Users<'t>> {
    if let Some(text) = section.text("users", &mut Findings::default()) {
        if text.value == "all" {
            return Some(Users::All);
        }
        let help = format!("write users = [\"{}\"], or \"all\"", text.value.escape_debug());
        findings.report(Code::WrongType, text.span, "`users` must be a list, or \"all\"", help);
        return None;
    }
    Some(Users::Only(distinct(section.texts("users", findings)?, findings)))
}

impl<'t> Deed<'t> {
    /// The names of the users that it is for, unless it is for all.
    pub(super) fn users(&self) -> &[Located<&'t str>] {
        match self.askers.as_ref().map(|askers| &askers.users) {
            Some(Users::Only(names)) => names,
            Some(Users::All) | None => &[],
        }
    }

    /// The names of the groups that it is for.
    pub(super) fn groups(&self) -> &[Located<&'t str>] {
        self.askers.as_ref().map_or(&[], |askers| &askers.groups)
    }
}

const BUILTINS: [Builtin; 3] = [Builtin::Reload, Builtin::Status, Builtin::ListActions];

/// Keys that only make sense if knocks can ask for the action; with one of them it is meant to have an `id`.
const PUBLIC: &[&str] = &["id", "users", "groups"];

/// Keys that are about the knock that asks.
const ASKED: &[&str] =
    &["networks", "hours", "not_before", "not_after", "uses", "dry_run", "require_ascii", "starts_with", "undo", "ttl"];
