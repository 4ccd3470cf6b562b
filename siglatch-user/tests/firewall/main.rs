//! The nftables edge in the kernel: each test in a network namespace of its own, so that all can run at once. Needs
//! root and `nft`, and fails without.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the kernel is the subject: tests run nft and ip, wait for timeouts, and send packets"
)]
#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

mod adopt;
mod cut;
mod dnat;
mod forward;
mod namespace;
mod neighbour;
mod operators_sets;
mod own_table;
mod repair;
mod traffic;
mod untouched;

use std::net::IpAddr;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use siglatch_common::units::Boot;
use siglatch_user::config::{Firewall as Settings, OwnTable};
use siglatch_user::edge::firewall::{Adopted, Begun, Firewall, FirewallError};
use siglatch_user::gate::{Grant, GrantKey};

use namespace::nft;

fn open(knock_ports: &[u16]) -> Firewall {
    Firewall::open(&own(), knock_ports, now()).unwrap().0
}

/// What a daemon would find at its start.
fn read_back() -> Vec<Grant> {
    Firewall::open(&own(), &[], now()).unwrap().1
}

/// Goes over to other settings, with nothing else happening meanwhile.
fn adopt(
    firewall: &mut Firewall,
    settings: &Settings,
    knock_ports: &[u16],
    live: &[Grant],
    now: Boot,
) -> Result<Adopted, FirewallError> {
    match firewall.begin(settings, knock_ports, live, now)? {
        Begun::Done(adopted) => Ok(adopted),
        Begun::Aside(rewrite) => firewall.finish(rewrite.write(), live),
    }
}

fn own() -> Settings {
    let protect = ["udp/51820", "tcp/22"].map(|service| service.parse().unwrap()).to_vec();
    Settings::Table(OwnTable { priority: -7, protect, ..OwnTable::default() })
}

fn grant(source: &str, service: &str, secs: u64) -> Grant {
    Grant { key: key(source, service), ttl: Duration::from_secs(secs), label: "alice ssh".to_owned() }
}

fn key(source: &str, service: &str) -> GrantKey {
    GrantKey { source: source.parse::<IpAddr>().unwrap().into(), destination: None, service: service.parse().unwrap() }
}

fn now() -> Boot {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    Boot::from_nanos(1).after(START.elapsed())
}

/// What is left of grants that were written since then. A busy machine takes longer than the second by which an element may
/// end too early before it is written anew.
fn left(grants: &[Grant], since: Instant) -> Vec<Grant> {
    grants.iter().map(|grant| Grant { ttl: grant.ttl.saturating_sub(since.elapsed()), ..grant.clone() }).collect()
}

/// Asserts that the IPv4 grant of `source` has between `least` and `most` seconds left.
fn assert_left(source: &str, least: u64, most: u64) {
    let grants = nft("-j list set inet siglatch grants_v4");
    let set: serde_json::Value = serde_json::from_str(&grants).unwrap();
    let elements = set["nftables"][1]["set"]["elem"].as_array().unwrap();
    let element = elements.iter().find(|element| element["elem"]["val"]["concat"][0] == source).expect(&grants);
    let left = element["elem"]["expires"].as_u64().unwrap();
    assert!((least..=most).contains(&left), "{source} has {left} s left, not {least} to {most}");
}
