//! Services: what is granted is closed otherwise, there is a place for each grant, and no knock port is among what is
//! closed. Never judges who gets them.

use std::collections::HashSet;

use siglatch_common::address::Address;

use crate::config::deeds::{Deed, Grant, Work};
use crate::config::finding::{Code, Findings};
use crate::config::firewall::{Places, Protected};
use crate::config::section::Located;
use crate::config::settings::KnockPort;
use crate::policy::{Door, Protocol, Service};

/// Services: what is granted is closed otherwise, and no knock port is among what is closed.
pub(in crate::config) fn services(
    ports: &[Located<KnockPort>],
    protected: &Protected,
    actions: &[Deed<'_>],
    findings: &mut Findings,
) {
    let grants = actions.iter().filter_map(|action| match &action.work {
        Some(Work::Grant(grant)) => Some((action, grant)),
        Some(Work::Step | Work::Revoke(_) | Work::Exec(_) | Work::Builtin(_)) | None => None,
    });
    match protected {
        Protected::Services { here, behind, forwarded } => {
            let mut here = here.clone();
            for forward in forwarded {
                let (value, span) = (forward.value.service, forward.span);
                if !here.iter().any(|service| service.value == value) {
                    here.push(Located { value, span });
                }
            }
            knock_ports(ports, &here, findings);
            never_opened(&here, behind, actions, findings);
            let here: HashSet<Service> = here.iter().map(|service| service.value).collect();
            let behind: HashSet<Door> = behind.iter().map(|door| door.value).collect();
            for (_, grant) in grants {
                unprotected(grant, &here, &behind, findings);
            }
        }
        Protected::Sets(places) => {
            for (action, grant) in grants {
                no_set(action, grant, *places, findings);
            }
        }
        Protected::Unknown => {}
    }
}

/// Nothing can listen on a knock port, so there is nothing to protect.
fn knock_ports(ports: &[Located<KnockPort>], protected: &[Located<Service>], findings: &mut Findings) {
    for service in protected.iter().filter(|service| service.value.protocol == Protocol::Udp) {
        if let Some(port) = ports.iter().find(|port| port.value.port == service.value.port) {
            let message = format!("{} is a knock port: nothing can listen there for users", service.value);
            let help = "take it out of `protect`: knock ports never answer anyway; or knock on another port";
            findings.report_with(Code::ProtectedKnockPort, service.span, message, help, (port.span, "the knock port"));
        }
    }
}

/// Reports what nobody can open: a way to lock oneself out.
fn never_opened(here: &[Located<Service>], behind: &[Located<Door>], actions: &[Deed<'_>], findings: &mut Findings) {
    let mut opened = (HashSet::new(), HashSet::new());
    for action in actions {
        match &action.work {
            // What was not understood may open anything.
            None => return,
            Some(Work::Grant(grant)) if grant.services.is_empty() => return,
            Some(Work::Grant(grant)) if grant.to.is_empty() => {
                opened.0.extend(grant.services.iter().map(|service| service.value));
            }
            Some(Work::Grant(grant)) => opened.1.extend(grant.services.iter().flat_map(|service| {
                grant.to.iter().map(|host| Door { destination: host.value, service: service.value })
            })),
            Some(Work::Step | Work::Revoke(_) | Work::Exec(_) | Work::Builtin(_)) => {}
        }
    }
    let closed_here = here.iter().filter(|service| !opened.0.contains(&service.value));
    let closed_behind = behind.iter().filter(|door| !opened.1.contains(&door.value));
    let closed = closed_here.map(|service| (service.span, service.value.to_string()));
    for (span, what) in closed.chain(closed_behind.map(|door| (door.span, door.value.to_string()))) {
        let message = format!("{what} is closed, and no action opens it");
        let help =
            "grant it in an action; if it is to be closed for good, your own firewall rules are the place for that";
        findings.report(Code::NeverOpened, span, message, help);
    }
}

/// Reports what is opened and not closed otherwise.
fn unprotected(grant: &Grant<'_>, here: &HashSet<Service>, behind: &HashSet<Door>, findings: &mut Findings) {
    let mut report = |service: &Located<Service>, what: String, key: &str| {
        let message = format!("{what} is not protected: the grant opens what is not closed");
        let help = format!("add \"{what}\" to `{key}` in [firewall], or take it out here");
        findings.report(Code::UnprotectedService, service.span, message, help);
    };
    for service in &grant.services {
        if grant.to.is_empty() && !here.contains(&service.value) {
            report(service, service.value.to_string(), "protect");
        }
        for host in &grant.to {
            let door = Door { destination: host.value, service: service.value };
            if !behind.contains(&door) {
                report(service, door.to_string(), "protect_forward");
            }
        }
    }
}

/// Reports grants that the operator's sets have no place for.
fn no_set(action: &Deed<'_>, grant: &Grant<'_>, places: Places, findings: &mut Findings) {
    if grant.to.is_empty() && !places.here {
        let message = format!("there is no set for what {} grants on this host", action.name.value);
        let help =
            "name one as `set_v4` or `set_v6` in [firewall], or write which hosts it is for: to = [\"10.0.0.5\"]";
        findings.report(Code::NoSet, action.name.span, message, help);
    }
    let lacks = |host: &&Located<Address>| !if host.value.is_v4() { places.behind_v4 } else { places.behind_v6 };
    for host in grant.to.iter().filter(lacks) {
        let key = if host.value.is_v4() { "set_forward_v4" } else { "set_forward_v6" };
        let message = format!("there is no set for grants to {}", host.value);
        let help = format!("name one in [firewall], for example: {key} = \"siglatch_{}\"", &key[4..]);
        findings.report(Code::NoSet, host.span, message, help);
    }
}
