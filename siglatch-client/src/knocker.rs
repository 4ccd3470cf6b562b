//! Turns one knock into the datagram that carries it.
//! Never reads a clock, a file or a socket; sealing alone draws randomness, for its padding.

use siglatch_common::seal::{self, GateKey, HmacKey, SealError, ServerPublicKey};
use siglatch_common::stamp::{Epoch, STAMP_LEN, Slot, stamp_sealed};
use siglatch_common::wire::Wire;
use siglatch_common::wire::v1::{ActionId, Packet, Payload, SEALED_LEN, UserId};

/// What one datagram asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Knock {
    /// Who knocks.
    pub user: UserId,
    /// What for.
    pub action: ActionId,
    /// Words for the action.
    pub payload: Payload,
    /// Seconds since the Unix epoch; a gateway takes what is at most a minute off. A stamp is of the same moment.
    pub timestamp: u32,
    /// Random: tells two knocks of one second apart.
    pub challenge: u32,
}

/// What a user needs to be believed by one gateway.
#[derive(Clone, Debug)]
pub struct Keys {
    hmac: HmacKey,
    envelope: Envelope,
}

#[derive(Clone, Debug)]
enum Envelope {
    Sealed(ServerPublicKey),
    Stamped(ServerPublicKey, Stamper),
    Clear,
}

/// A gate key under its number: what makes a gateway's kernel tell a knock from junk.
#[derive(Clone, Debug)]
pub struct Stamper {
    /// Below [`siglatch_common::stamp::GATE_KEYS`].
    number: u8,
    key: GateKey,
}

/// The UDP payload of a knock: authenticated, and sealed or stamped as its [`Wire`] demands.
///
/// # Errors
/// [`SealError`] if the system gives no randomness.
pub fn datagram(knock: &Knock, keys: &Keys) -> Result<Vec<u8>, SealError> {
    let packet = packet(knock, &keys.hmac);
    match &keys.envelope {
        Envelope::Sealed(server_key) => Ok(server_key.seal(&packet)?.to_vec()),
        Envelope::Stamped(server_key, stamper) => {
            let sealed = server_key.seal(&packet)?;
            let stamp = stamper.stamp(&sealed, Epoch::at(knock.timestamp.into()));
            Ok([stamp.as_slice(), sealed.as_slice()].concat())
        }
        Envelope::Clear => Ok(packet.encode().to_vec()),
    }
}

/// The packet inside [`datagram`]: the knock with `key`'s HMAC.
#[must_use]
pub fn packet(knock: &Knock, key: &HmacKey) -> Packet {
    let Knock { user, action, payload, timestamp, challenge } = *knock;
    let unsigned = Packet { timestamp, user, action, challenge, hmac: [0; 32], payload };
    seal::authenticate(unsigned, key)
}

impl Keys {
    /// For a `sealed` knock port.
    #[must_use]
    pub const fn sealed(hmac: HmacKey, server_key: ServerPublicKey) -> Self {
        Self { hmac, envelope: Envelope::Sealed(server_key) }
    }

    /// For a `stamped` knock port.
    #[must_use]
    pub const fn stamped(hmac: HmacKey, server_key: ServerPublicKey, stamper: Stamper) -> Self {
        Self { hmac, envelope: Envelope::Stamped(server_key, stamper) }
    }

    /// For a `clear` knock port.
    #[must_use]
    pub const fn clear(hmac: HmacKey) -> Self {
        Self { hmac, envelope: Envelope::Clear }
    }

    /// The wire that these keys make datagrams for.
    #[must_use]
    pub const fn wire(&self) -> Wire {
        match &self.envelope {
            Envelope::Sealed(_) => Wire::Sealed,
            Envelope::Stamped(..) => Wire::Stamped,
            Envelope::Clear => Wire::Clear,
        }
    }

    /// The number of the gate key, if the wire is stamped.
    #[must_use]
    pub const fn gate_key(&self) -> Option<u8> {
        match &self.envelope {
            Envelope::Stamped(_, stamper) => Some(stamper.number),
            Envelope::Sealed(_) | Envelope::Clear => None,
        }
    }
}

impl Stamper {
    /// Stamps with a gate key; nothing if no gate key can have that number.
    #[must_use]
    pub fn new(number: u8, key: GateKey) -> Option<Self> {
        Slot::new(number, Epoch::at(0))?;
        Some(Self { number, key })
    }

    fn stamp(&self, sealed: &[u8; SEALED_LEN], epoch: Epoch) -> [u8; STAMP_LEN] {
        let slot = Slot::new(self.number, epoch).expect("the number was a gate key's when the stamper was made");
        stamp_sealed(slot, self.key.of_epoch(epoch), sealed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rsa::pkcs8::{EncodePublicKey as _, LineEnding};
    use rsa::rand_core::OsRng;
    use rsa::{Pkcs1v15Encrypt, RsaPrivateKey};
    use siglatch_common::wire::v1::PAYLOAD_MAX;

    fn key() -> HmacKey {
        HmacKey::parse(&[7; 32]).unwrap()
    }

    fn knock(payload: &[u8]) -> Knock {
        Knock {
            user: UserId(513),
            action: ActionId(3),
            payload: Payload::new(payload).unwrap(),
            timestamp: 1_700_000_000,
            challenge: 0x0102_0304,
        }
    }

    proptest! {
        #[test]
        fn a_clear_datagram_decodes_to_the_knock_and_its_hmac_holds(
            user: u16, action: u8, timestamp: u32, challenge: u32,
            payload in proptest::collection::vec(any::<u8>(), 0..=PAYLOAD_MAX),
        ) {
            let payload = Payload::new(&payload).unwrap();
            let knock = Knock { user: UserId(user), action: ActionId(action), payload, timestamp, challenge };
            let bytes = datagram(&knock, &Keys::clear(key())).unwrap();
            let packet = Packet::decode(&bytes.try_into().unwrap()).unwrap();
            prop_assert_eq!(packet.hmac, seal::hmac(&packet, &key()));
            let Packet { timestamp, user, action, challenge, payload, .. } = packet;
            prop_assert_eq!(Knock { user, action, payload, timestamp, challenge }, knock);
        }
    }

    #[test]
    fn a_sealed_datagram_opens_to_the_clear_one() {
        let private = RsaPrivateKey::new(&mut OsRng, 2048).unwrap();
        let pem = private.to_public_key().to_public_key_pem(LineEnding::LF).unwrap();
        let keys = Keys::sealed(key(), ServerPublicKey::from_pem(&pem).unwrap());
        let knock = knock(&[9; PAYLOAD_MAX]);

        let sealed = datagram(&knock, &keys).unwrap();

        assert_eq!(sealed.len(), usize::from(Wire::Sealed.datagram_len()));
        let opened = private.decrypt(Pkcs1v15Encrypt, &sealed).unwrap();
        assert_eq!(opened, datagram(&knock, &Keys::clear(key())).unwrap());
        assert_ne!(sealed, datagram(&knock, &keys).unwrap(), "padding is random");
    }

    #[test]
    fn a_stamped_datagram_is_a_stamp_of_the_knocks_own_moment_before_a_sealed_one() {
        let private = RsaPrivateKey::new(&mut OsRng, 2048).unwrap();
        let pem = private.to_public_key().to_public_key_pem(LineEnding::LF).unwrap();
        let gate_key = GateKey::parse(&[3; 16]).unwrap();
        let stamper = Stamper::new(2, gate_key.clone()).unwrap();
        let keys = Keys::stamped(key(), ServerPublicKey::from_pem(&pem).unwrap(), stamper);
        assert_eq!((keys.wire(), keys.gate_key()), (Wire::Stamped, Some(2)));
        for timestamp in [0, 599, 600, 1_700_000_000, u32::MAX] {
            let knock = Knock { timestamp, ..knock(b"ttl=10m") };

            let bytes = datagram(&knock, &keys).unwrap();

            assert_eq!(bytes.len(), usize::from(Wire::Stamped.datagram_len()));
            let (stamp, sealed) = bytes.split_first_chunk::<STAMP_LEN>().unwrap();
            let sealed: &[u8; SEALED_LEN] = sealed.try_into().unwrap();
            let slot = Slot::of_stamp(u64::from_le_bytes(*stamp));
            let epoch = Epoch(u64::from(timestamp) / 600);
            assert_eq!(u64::from(slot.number()), 4 * 2 + epoch.0 % 4);
            assert_eq!(*stamp, stamp_sealed(slot, gate_key.of_epoch(epoch), sealed));
            let opened = private.decrypt(Pkcs1v15Encrypt, sealed).unwrap();
            assert_eq!(opened, datagram(&knock, &Keys::clear(key())).unwrap());
        }
    }

    /// Computed by a second implementation; `docs/wire.md` names it.
    #[test]
    fn a_stamp_is_the_one_that_the_protocol_says() {
        let stamper = Stamper::new(2, GateKey::parse(b"000102030405060708090a0b0c0d0e0f").unwrap()).unwrap();
        let sealed = core::array::from_fn(|at| at as u8);
        let expected = [0x78, 0xe4, 0xf7, 0xbd, 0x58, 0xb6, 0x1f, 0x76];
        assert_eq!(stamper.stamp(&sealed, Epoch(3_000_000)), expected);
    }

    #[test]
    fn there_are_four_gate_keys() {
        let gate_key = || GateKey::parse(&[3; 16]).unwrap();
        assert!(Stamper::new(3, gate_key()).is_some());
        assert!(Stamper::new(4, gate_key()).is_none());
    }

    #[test]
    fn the_lengths_are_those_of_the_wires() {
        let keys = Keys::clear(key());
        assert_eq!(keys.wire(), Wire::Clear);
        assert_eq!(datagram(&knock(b""), &keys).unwrap().len(), usize::from(Wire::Clear.datagram_len()));
    }

    #[test]
    fn keys_are_never_printed() {
        let printed = format!("{:?}", Keys::clear(key()));
        assert!(printed.contains("Secret(..)"), "{printed}");
        assert!(!printed.contains('7'), "{printed}");
        let stamper = format!("{:?}", Stamper::new(0, GateKey::parse(&[7; 16]).unwrap()));
        assert!(stamper.contains("Secret(..)") && !stamper.contains('7'), "{stamper}");
    }
}
