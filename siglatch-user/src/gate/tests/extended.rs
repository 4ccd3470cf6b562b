//! What an operator extends, by value.

use super::workshop::*;
use super::*;

#[test]
fn an_operator_extends_what_is_meant_and_shortens_nothing() {
    let mut door = Door::of(workshop());
    let _ = door.does(SSH);
    assert_eq!(door.does(WEB), ["owe 1 web-off in 60", "open tcp/443 60 alice web"]);
    let meant = |action: &str| Revocation { action: Some(action.into()), ..Revocation::default() };
    let (_, extended) = door.gate.extend(&meant("web"), Duration::from_secs(600), door.now);
    assert_eq!(extended, 1);
    assert_eq!(door.said(), ["owe 1 web-off in 600", "open tcp/443 600 alice web"]);
    let (as_it_stands, extended) = door.gate.extend(&meant("web"), Duration::from_secs(599), door.now);
    assert_eq!(as_it_stands.iter().map(|grant| grant.ttl.as_secs()).collect::<Vec<_>>(), [600]);
    assert_eq!(extended, 0);
    assert!(door.gate.extend(&meant("vpn"), Duration::from_secs(599), door.now).0.is_empty());
    assert!(door.said().is_empty());
    assert_eq!(door.wait_secs(60), [""; 0]);
    let left: Vec<_> = door.gate.live_grants(door.now.boot).into_iter().map(|grant| grant.label).collect();
    assert_eq!(left, ["alice web"]);
    assert_eq!(door.wait_secs(540), ["run 1 web-off to undo 1"]);
    assert!(door.gate.extend(&Revocation::default(), Duration::from_secs(600), door.now).0.is_empty(), "it is over");
}

#[test]
fn an_extension_that_the_disk_does_not_take_at_once_ends_when_it_was_to() {
    let mut door = Door::of(workshop());
    let _ = door.does(SSH);
    let (_, extended) = door.gate.extend(&Revocation::default(), Duration::from_secs(600), door.now);
    assert_eq!(extended, 1);
    assert_eq!(door.said(), ["open tcp/22 600 alice ssh"]);
    door.gate.withdraw();
    assert_eq!(door.wait_secs(100), ["open tcp/22 500 alice ssh"]);
    door.gate.withdraw();
    let _ = door.gate.revoke(&Revocation::default(), door.now);
    assert_eq!(door.wait_secs(1), ["close tcp/22 500 alice ssh"], "what was revoked since is not opened again");
}
