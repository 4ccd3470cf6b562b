//! What has changed of this host: ports, keys, limits, lists, firewall, records. Never about who may do what.

use std::collections::BTreeMap;
use std::time::Duration;

use siglatch_common::lane::Lane;
use subtle::ConstantTimeEq as _;

use super::{Comparison, How};
use crate::config::settings::{
    AdminRule, AuditRule, BanRule, DebugRule, Firewall, Gateway, Ingress, KnockPort, KnownRule, LaneRule, Limits,
    OperatorSets, OwnTable, Peer, Scope, Settings, WhenFailing, Xdp,
};
use crate::config::value::{duration_text, size_text};

/// Every field of the settings, but for users, actions and sequences. What counts from the next start is passed over.
pub(super) fn compare(old: &Settings, new: &Settings, to: &mut Comparison) {
    let Settings {
        gateway,
        ingress,
        ports,
        limits,
        lanes,
        known,
        allow,
        ban,
        blacklist,
        gate_keys: _,
        key_folders: _,
        admin,
        metrics: _,
        daemon_user: _,
        watch_file,
        audit,
        debug,
        programs_at_once,
        state_dir: _,
        key_threads: _,
        nonce_capacity,
        firewall,
        policy,
        server_key: _,
        user_keys: _,
    } = old;
    self::gateway([gateway, &new.gateway], to);
    self::ingress([ingress, &new.ingress], to);
    self::ports([ports, &new.ports], to);
    keys(old, new, to);
    to.key("[knock]", "max_skew", [&policy.max_skew(), &new.policy.max_skew()], time);
    to.key("[state]", "nonces", [nonce_capacity, &new.nonce_capacity], usize::to_string);
    self::limits([limits, &new.limits], to);
    for lane in Lane::ALL {
        self::lane(lane, [lanes.of(lane), new.lanes.of(lane)], to);
    }
    let KnownRule { span, capacity: _ } = known;
    to.key("[known]", "for", [span, &new.known.span], time);
    to.list("allowed network", [allow, &new.allow]);
    self::ban([ban, &new.ban], to);
    to.list(
        "blacklist file",
        [blacklist, &new.blacklist].map(|files| files.iter().map(|file| file.display().to_string())),
    );
    self::admin([admin, &new.admin], to);
    to.key("[daemon]", "reload_on_change", [watch_file, &new.watch_file], bool::to_string);
    self::audit([audit, &new.audit], to);
    self::debug([debug, &new.debug], to);
    to.key("[exec]", "at_once", [programs_at_once, &new.programs_at_once], usize::to_string);
    self::firewall([firewall, &new.firewall], to);
}

fn gateway([old, new]: [&Gateway; 2], to: &mut Comparison) {
    let Gateway { name, host } = old;
    to.key("[gateway]", "name", [name, &new.name], String::clone);
    to.key("[gateway]", "host", [host, &new.host], String::clone);
}

fn ingress([old, new]: [&Ingress; 2], to: &mut Comparison) {
    if let (Ingress::Xdp(old), Ingress::Xdp(new)) = (old, new) {
        let Xdp { interfaces, attach: _, pin_dir: _, diagnostics } = old;
        to.list("interface", [interfaces, &new.interfaces]);
        to.key("[ingress]", "diagnostics", [diagnostics, &new.diagnostics], |which| which.label().to_owned());
    }
}

fn ports(both: [&Vec<KnockPort>; 2], to: &mut Comparison) {
    let by_number = |ports: &Vec<KnockPort>| ports.iter().map(|port| (port.port, port.wire.label())).collect();
    to.each("port", both.map(by_number), |old: &&str, new| {
        (old != new).then(|| How::Set { from: (*old).to_owned(), to: (*new).to_owned() })
    });
}

/// That a key is another one, and nothing else of it.
fn keys(old: &Settings, new: &Settings, to: &mut Comparison) {
    to.only("server key", old.server_key.public() == new.server_key.public());
    let gate_keys = [&old.gate_keys, &new.gate_keys].map(|keys| keys.iter().collect::<BTreeMap<_, _>>());
    to.each("gate key", gate_keys, |old, new| (!bool::from(old.ct_eq(new))).then(|| How::Changed(Vec::new())));
    let newest = [&old.gate_keys, &new.gate_keys].map(|keys| keys.newest().map(|(number, _)| number));
    // One that came first or went last was told of.
    if let [Some(old), Some(new)] = &newest {
        to.key("gate key", "for new clients", [old, new], u8::to_string);
    }
}

fn limits([old, new]: [&Limits; 2], to: &mut Comparison) {
    let Limits { rate, burst, sources: _, copies: _ } = old;
    to.key("[limits]", "rate", [rate, &new.rate], u32::to_string);
    to.key("[limits]", "burst", [burst, &new.burst], u32::to_string);
}

fn lane(lane: Lane, [old, new]: [&LaneRule; 2], to: &mut Comparison) {
    let table = match lane {
        Lane::Stamped => "[lane.stamped]",
        Lane::Known => "[lane.known]",
        Lane::Unknown => "[lane.unknown]",
    };
    let LaneRule { budget, share, ring_kib: _ } = old;
    to.key(table, "budget", [budget, &new.budget], u32::to_string);
    to.key(table, "share", [share, &new.share], u8::to_string);
}

fn ban([old, new]: [&BanRule; 2], to: &mut Comparison) {
    let BanRule { strikes, within, steps, forget, flood, scope, capacity: _ } = old;
    to.key("[ban]", "strikes", [strikes, &new.strikes], u32::to_string);
    to.key("[ban]", "within", [within, &new.within], time);
    to.key("[ban]", "steps", [steps, &new.steps], |steps| steps.iter().map(time).collect::<Vec<_>>().join(", "));
    to.key("[ban]", "forget", [forget, &new.forget], time);
    to.key("[ban]", "flood", [flood, &new.flood], u32::to_string);
    to.key("[ban]", "scope", [scope, &new.scope], |scope| match scope {
        Scope::Knock => "knock".to_owned(),
        Scope::Host => "host".to_owned(),
    });
}

fn admin([old, new]: [&AdminRule; 2], to: &mut Comparison) {
    let AdminRule { socket: _, operators, observers, observer_socket: _ } = old;
    let names = |peers: &[Peer]| peers.iter().map(Peer::to_string).collect::<Vec<_>>();
    to.list("operator", [operators, &new.operators].map(|peers| names(peers)));
    to.list("observer", [observers, &new.observers].map(|peers| names(peers)));
}

fn audit([old, new]: [&AuditRule; 2], to: &mut Comparison) {
    let AuditRule { enabled: _, file: _, size, age, keep, when_failing } = old;
    to.key("[audit]", "size", [size, &new.size], |size| size_text(*size));
    to.key("[audit]", "age", [age, &new.age], time);
    to.key("[audit]", "keep", [keep, &new.keep], u32::to_string);
    to.key("[audit]", "when_failing", [when_failing, &new.when_failing], |then| match then {
        WhenFailing::Admit => "admit".to_owned(),
        WhenFailing::Refuse => "refuse".to_owned(),
    });
}

fn debug([old, new]: [&DebugRule; 2], to: &mut Comparison) {
    // Which users is told of with each of them.
    let DebugRule { users: _, sources, span } = old;
    to.list("[debug] source", [sources, &new.sources]);
    to.key("[debug]", "for", [span, &new.span], time);
}

fn firewall([old, new]: [&Firewall; 2], to: &mut Comparison) {
    match (old, new) {
        (Firewall::Table(old), Firewall::Table(new)) => {
            let OwnTable { name: _, priority, protect, protect_forward, dnat } = old;
            to.key("[firewall]", "priority", [priority, &new.priority], i32::to_string);
            to.list("protected service", [protect, &new.protect]);
            to.list("protected service", [protect_forward, &new.protect_forward]);
            to.list("dnat", [dnat, &new.dnat]);
        }
        (Firewall::Sets(old), Firewall::Sets(new)) if (&old.family, &old.table) == (&new.family, &new.table) => {
            let OperatorSets { family: _, table: _, v4, v6, forward_v4, forward_v6 } = old;
            let show = |name: &Option<String>| name.clone().unwrap_or_else(|| "none".to_owned());
            to.key("[firewall]", "set_v4", [v4, &new.v4], show);
            to.key("[firewall]", "set_v6", [v6, &new.v6], show);
            to.key("[firewall]", "set_forward_v4", [forward_v4, &new.forward_v4], show);
            to.key("[firewall]", "set_forward_v6", [forward_v6, &new.forward_v6], show);
        }
        (Firewall::Table(_) | Firewall::Sets(_) | Firewall::Untouched, _) => {}
    }
}

fn time(span: &Duration) -> String {
    duration_text(*span)
}
