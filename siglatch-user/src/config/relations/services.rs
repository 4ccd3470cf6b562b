//! Services: what is granted is closed otherwise, and no knock port is among what is closed. Never judges who gets them.

use std::collections::HashSet;

use crate::config::deeds::Deed;
use crate::config::finding::{Code, Findings};
use crate::config::firewall::Protected;
use crate::config::section::Located;
use crate::config::settings::KnockPort;
use crate::policy::Protocol;

/// Services: what is granted is closed otherwise, and no knock port is among what is closed.
pub(in crate::config) fn services(
    ports: &[Located<KnockPort>],
    protected: &Protected,
    actions: &[Deed<'_>],
    findings: &mut Findings,
) {
    let Protected::Services(protected) = protected else { return };
    for service in protected.iter().filter(|service| service.value.protocol == Protocol::Udp) {
        if let Some(port) = ports.iter().find(|port| port.value.port == service.value.port) {
            let message = format!("{} is a knock port: nothing can listen there for users", service.value);
            let help = "take it out of `protect`: knock ports never answer anyway; or knock on another port";
            findings.report_with(Code::ProtectedKnockPort, service.span, message, help, (port.span, "the knock port"));
        }
    }
    let closed: HashSet<_> = protected.iter().map(|service| service.value).collect();
    for service in actions.iter().flat_map(|action| &action.services).filter(|service| !closed.contains(&service.value))
    {
        let message = format!("{} is not protected: the grant opens what is not closed", service.value);
        let help = format!("add \"{}\" to `protect` in [firewall], or take it out here", service.value);
        findings.report(Code::UnprotectedService, service.span, message, help);
    }
}
