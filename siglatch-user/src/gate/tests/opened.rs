//! Rung 1, by value: what is authentic.

use super::*;

#[test]
fn a_sealed_and_a_clear_packet_open() {
    let mut door = Door::new();
    let knock = door.knock(SSH, b"");
    assert_eq!(door.sealed(knock, HOME), admitted(SSH));
    let knock = door.knock(SSH, b"");
    assert_eq!(door.clear(knock, HOME), admitted(SSH));
}

#[test]
fn every_failure_to_authenticate_is_the_same_refusal() {
    let mut door = Door::new();
    let sound = door.knock(SSH, b"");
    let bytes = authenticate(sound, &key(ALICE)).encode();
    for (what, at) in [
        ("version", 0),
        ("timestamp", 1),
        ("user", 5),
        ("action", 7),
        ("challenge", 8),
        ("hmac", 12),
        ("length", 44),
        ("tail", 244),
    ] {
        let mut forged = bytes;
        forged[at] ^= 0x40;
        assert_eq!(door.raw(&forged, Wire::Clear, HOME), refused_stranger(), "{what}");
    }
    assert_eq!(door.signed(sound, &key(BOB), HOME), refused_stranger(), "another user's key");
    assert_eq!(
        door.signed(Packet { user: DISABLED, ..sound }, &key(DISABLED), HOME),
        refused_stranger(),
        "a disabled user"
    );
    assert_eq!(
        door.signed(Packet { user: UserId(999), ..sound }, &key(UserId(999)), HOME),
        refused_stranger(),
        "nobody's id"
    );
    assert_eq!(
        door.signed(Packet { user: UserId(999), ..sound }, &stranger(), HOME),
        refused_stranger(),
        "the stranger's own key"
    );
    assert_eq!(door.raw(&[0x55; 256], Wire::Sealed, HOME), refused_stranger(), "not under our key");
    assert_eq!(door.raw(&bytes, Wire::Sealed, HOME), refused_stranger(), "a clear packet on a sealed port");
    assert!(door.gate.take_effects().is_empty(), "a stranger leaves no trace");
    assert_eq!(door.raw(&bytes, Wire::Clear, HOME), admitted(SSH), "the near miss");
}

#[test]
fn a_payload_length_of_65535_is_refused() {
    let mut door = Door::new();
    let mut bytes = authenticate(door.knock(SSH, b""), &key(ALICE)).encode();
    bytes[44..46].copy_from_slice(&[0xff, 0xff]);
    assert_eq!(door.raw(&bytes, Wire::Clear, HOME), refused_stranger());
}

#[test]
fn no_length_of_datagram_panics() {
    let mut door = Door::new();
    for wire in Wire::ALL {
        for len in 0..=300 {
            if len != PACKET_LEN || wire != Wire::Clear {
                assert_eq!(door.raw(&vec![1; len], wire, HOME), refused_stranger(), "{wire:?} {len}");
            }
        }
    }
}
