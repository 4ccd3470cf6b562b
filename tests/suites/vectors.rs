//! Packets recorded from existing clients: each decodes to its recorded fields, its HMAC verdict is ours, and the gate
//! admits the authentic ones and refuses the rest. Needs nothing but the folder.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "key files are files, and a suite may fail where it stands"
)]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use siglatch_common::address::Address;
use siglatch_common::outcome;
use siglatch_common::seal::{HmacKey, KeyFlaw, hmac};
use siglatch_common::units::{Boot, Now, Wall};
use siglatch_common::wire::Wire;
use siglatch_common::wire::v1::{ActionId, PACKET_LEN, Packet, SEALED_LEN, UserId};
use siglatch_tests::scene::{CLEAR_PORT, GATEWAY, PORTS, SEALED_PORT, STRANGER, Shape};
use siglatch_tests::table_host::TableHost;
use siglatch_tests::vectors::{Recorded, Sealed, User, Vectors};
use siglatch_user::gate::{Beginning, Decoy, Gate, Noted, Refusal, Remembered, Verdict, open};
use siglatch_user::keys::{Keyring, ServerKey};
use siglatch_user::policy::{self, Action, ActionKind, Allowed, Policy};
use subtle::ConstantTimeEq as _;

#[test]
fn every_recorded_packet_is_judged_as_it_was_recorded() {
    let vectors = Vectors::load().unwrap_or_else(|error| panic!("{error:#}"));
    let server = ServerKey::from_pem(&vectors.server_key).unwrap();
    let mut count = BTreeMap::new();
    for recorded in &vectors.packets {
        let plain = open_recorded(recorded, &server, &vectors);
        must_decode(recorded, plain.as_ref());
        must_authenticate_as_recorded(recorded, plain.as_ref(), &vectors);
        *count.entry(gate_verdict(recorded, &vectors)).or_insert(0) += 1;
    }
    let verdicts: Vec<_> = count.iter().map(|(verdict, times)| format!("{times} {verdict}")).collect();
    // Not `println!`, which the harness would keep to itself: the number is what the reader wants to see.
    writeln!(
        std::io::stdout(),
        "\nvectors: judged {} packets of {}: {}",
        vectors.packets.len(),
        vectors.folder.display(),
        verdicts.join(", ")
    )
    .unwrap();
}

/// The packet inside, which must be what was recorded; nothing if there is none.
fn open_recorded(recorded: &Recorded, server: &ServerKey, vectors: &Vectors) -> Option<[u8; PACKET_LEN]> {
    let opened = match recorded.sealed {
        Sealed::Not => recorded.wire.as_slice().try_into().ok(),
        Sealed::ForServer => {
            <[u8; SEALED_LEN]>::try_from(&recorded.wire[..]).ok().and_then(|sealed| server.open(&sealed))
        }
        Sealed::ForUser => <[u8; SEALED_LEN]>::try_from(&recorded.wire[..]).ok().and_then(|sealed| {
            let key = user_of(recorded, vectors)?.private_key.as_deref()?;
            ServerKey::from_pem(key).unwrap().open(&sealed)
        }),
    };
    match (&opened, &recorded.plain) {
        (Some(opened), Some(plain)) => assert_eq!(&opened[..], plain, "{}", recorded.name),
        (None, Some(plain)) => assert_ne!(plain.len(), PACKET_LEN, "{}: does not open", recorded.name),
        (_, None) => {}
    }
    opened
}

fn must_decode(recorded: &Recorded, plain: Option<&[u8; PACKET_LEN]>) {
    let name = &recorded.name;
    let Some(fields) = &recorded.fields else { return };
    let plain = plain.unwrap_or_else(|| panic!("{name}: there is no packet inside"));
    let decoded = Packet::decode(plain);
    if !recorded.is_sound() {
        assert!(decoded.is_err(), "{name}: of unsound form, and decoded");
        return;
    }
    let packet = decoded.unwrap_or_else(|flaw| panic!("{name}: {flaw:?}"));
    assert_eq!(u64::from(packet.timestamp), fields.timestamp, "{name}");
    assert_eq!(u64::from(packet.user.0), fields.user, "{name}");
    assert_eq!(u64::from(packet.action.0), fields.action, "{name}");
    assert_eq!(u64::from(packet.challenge), fields.challenge, "{name}");
    assert_eq!(packet.hmac.as_slice(), fields.hmac, "{name}");
    assert_eq!(packet.payload.as_bytes().len() as u64, fields.payload_len, "{name}");
    if let Some(payload) = &fields.payload {
        assert_eq!(packet.payload.as_bytes(), payload, "{name}");
    }
    assert_eq!(&packet.encode(), plain, "{name}: one packet has one form");
}

fn must_authenticate_as_recorded(recorded: &Recorded, plain: Option<&[u8; PACKET_LEN]>, vectors: &Vectors) {
    let (Some(plain), true) = (plain, recorded.is_sound()) else { return };
    let packet = Packet::decode(plain).unwrap();
    let Some(user) = user_of(recorded, vectors) else {
        assert!(!recorded.hmac_ok, "{}: holds under nobody's key", recorded.name);
        return;
    };
    let right = hmac(&packet, &user.key);
    assert_eq!(right == packet.hmac, recorded.hmac_ok, "{}", recorded.name);
    if let Some(recomputed) = &recorded.right_hmac {
        assert_eq!(right.as_slice(), recomputed, "{}", recorded.name);
    }
}

/// The user whose key the recording names; else the one that the packet itself names.
fn user_of<'a>(recorded: &Recorded, vectors: &'a Vectors) -> Option<&'a User> {
    match (&recorded.key_of, &recorded.fields) {
        (Some(name), _) => vectors.users.get(name),
        (None, Some(fields)) => vectors.users.values().find(|user| u64::from(user.id) == fields.user),
        (None, None) => None,
    }
}

/// What the whole gate, and the filter before it, make of a recording; it must be what the recording says.
fn gate_verdict(recorded: &Recorded, vectors: &Vectors) -> &'static str {
    let name = &recorded.name;
    if recorded.sealed == Sealed::ForUser {
        // Sealed for a client: to the server it is noise.
        assert_eq!(judge(recorded, vectors).first(), Some(&refused(Refusal::Unauthentic)), "{name}");
        return "replies to clients read";
    }
    let wire = wire_of(recorded);
    let fits = recorded.wire.len() == usize::from(wire.datagram_len());
    assert_eq!(filter_outcome(recorded) == outcome::Outcome::SubmittedUnknown, fits, "{name}");

    let signer = user_of(recorded, vectors).map(|user| u64::from(user.id));
    let authentic = recorded.is_sound()
        && recorded.hmac_ok
        && signer.is_some()
        && signer == recorded.fields.as_ref().map(|fields| fields.user);
    let verdicts = judge(recorded, vectors);
    if authentic {
        let [first, replayed, stale] = &verdicts[..] else { panic!("{name}: {verdicts:?}") };
        assert!(matches!(first, Judged::Admitted), "{name}: {first:?}");
        assert_eq!(replayed, &refused(Refusal::Replay), "{name}");
        assert_eq!(stale, &refused(Refusal::Stale), "{name}");
        "admitted once"
    } else {
        assert!(verdicts.iter().all(|verdict| *verdict == refused(Refusal::Unauthentic)), "{name}: {verdicts:?}");
        if recorded.fields.is_some() { "refused as unauthentic" } else { "refused as no packets" }
    }
}

/// A verdict, reduced to what recordings can tell.
#[derive(Debug, Eq, PartialEq)]
enum Judged {
    Admitted,
    Refused(Refusal),
}

const fn refused(refusal: Refusal) -> Judged {
    Judged::Refused(refusal)
}

/// The gate's verdicts on the recording: at its own time, once more, and at a fresh gate when it is too old.
fn judge(recorded: &Recorded, vectors: &Vectors) -> Vec<Judged> {
    let stamp = recorded.fields.as_ref().map_or(1_795_311_139, |fields| fields.timestamp);
    let keyring = keyring(vectors);
    let mut gate = gate(vectors, stamp);
    let mut later_gate = self::gate(vectors, stamp + SKEW + 1);
    let knock = || open(&recorded.wire, wire_of(recorded), &keyring, &Decoy::from_random([0x5a; PACKET_LEN]));
    let from = Address::from(STRANGER.v4);
    let verdicts = [
        gate.judge(knock(), from, at(stamp)),
        gate.judge(knock(), from, at(stamp)),
        later_gate.judge(knock(), from, at(stamp + SKEW + 1)),
    ];
    verdicts
        .into_iter()
        .map(|verdict| match verdict {
            Verdict::Admit(_) => Judged::Admitted,
            Verdict::Refuse(refusal, _) => Judged::Refused(refusal),
        })
        .collect()
}

fn keyring(vectors: &Vectors) -> Keyring {
    let server = ServerKey::from_pem(&vectors.server_key).unwrap();
    let users = vectors.users.values().map(|user| (UserId(user.id), user.key.clone()));
    Keyring::new(server, users, HmacKey::parse(&[0x77; 32]).unwrap())
}

/// A gate at which everybody may do everything, and nothing comes of it.
fn gate(vectors: &Vectors, wall: u64) -> Gate {
    let users = vectors.users.iter().map(|(name, user)| policy::User {
        id: UserId(user.id),
        name: name.clone(),
        enabled: true,
        admin: false,
        networks: Vec::new(),
        period: policy::Period::default(),
        uses: None,
    });
    let actions = (0..=u8::MAX).map(|id| Action {
        id: ActionId(id),
        name: format!("action-{id}"),
        allowed: Allowed::All,
        networks: Vec::new(),
        period: policy::Period::default(),
        hours: None,
        uses: None,
        dry_run: false,
        kind: ActionKind::Step,
    });
    let policy = Policy::new(users.collect(), actions.collect(), Vec::new(), Duration::from_secs(SKEW));
    let beginning = Beginning {
        policy: Arc::new(policy),
        nonce_capacity: 1024,
        programs_at_once: 1,
        run: 1,
        remembered: Remembered::default(),
        noted: Noted::default(),
        grants: &[],
    };
    Gate::new(beginning, at(wall))
}

const fn at(wall: u64) -> Now {
    Now { boot: Boot::from_nanos(1_000_000_000), wall: Wall::from_secs(wall) }
}

fn wire_of(recorded: &Recorded) -> Wire {
    if recorded.sealed == Sealed::Not { Wire::Clear } else { Wire::Sealed }
}

fn filter_outcome(recorded: &Recorded) -> outcome::Outcome {
    let [shape, _] = Shape::plain();
    let port = if wire_of(recorded) == Wire::Clear { CLEAR_PORT } else { SEALED_PORT };
    TableHost::new(&PORTS, &GATEWAY.addresses()).judge(&shape.to_gateway(port, &recorded.wire).bytes()).outcome
}

#[test]
fn key_files_of_all_three_forms_load() {
    let vectors = Vectors::load_from(&Vectors::default_folder()).unwrap();
    let mut forms = [0; 3];
    for path in &vectors.key_files {
        let contents = std::fs::read(path).unwrap();
        let key = HmacKey::parse(&contents).unwrap_or_else(|flaw| panic!("{}: {flaw}", path.display()));
        let known = vectors.users.values().any(|user| bool::from(user.key.ct_eq(&key)));
        assert!(known, "{}: nobody's key", path.display());
        let form = match contents.trim_ascii() {
            _ if contents.len() == 32 => 0,
            hex if hex.len() == 64 => 1,
            _ => 2,
        };
        forms[form] += 1;
        // What is nearly such a file is refused.
        assert_eq!(HmacKey::parse(&contents[1..]).unwrap_err(), KeyFlaw::Form, "{}", path.display());
        assert_eq!(HmacKey::parse(&[&contents[..], b"0"].concat()).unwrap_err(), KeyFlaw::Form, "{}", path.display());
    }
    assert!(forms.iter().all(|files| *files > 0), "raw, hex, hex with white space: {forms:?}");
}

#[test]
fn key_files_of_the_named_folder_load() {
    for path in &Vectors::load().unwrap().key_files {
        let loaded = HmacKey::parse(&std::fs::read(path).unwrap());
        assert!(loaded.is_ok(), "{}: {loaded:?}", path.display());
    }
}

/// Seconds that a stamp may be off.
const SKEW: u64 = 60;
