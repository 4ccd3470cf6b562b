//! Authenticating a packet and sealing it: what the client does, and what the daemon shares with it.
//! Never opens a sealed packet: the daemon does, with another implementation (`docs/decisions/0001-rsa.md`).

mod gate_key;
mod key_file;
mod secret;
mod server_key;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

pub use gate_key::GateKey;
pub use key_file::{HmacKey, KeyFlaw};
pub use secret::Secret;
pub use server_key::{PublicKeyFlaw, SealError, ServerPublicKey};

use crate::wire::v1::{PAYLOAD_MAX, Packet};

/// The HMAC that `packet` must carry to be `key`'s: HMAC-SHA256 over the SHA-256 of everything but itself and the
/// padding.
///
/// Takes the same time for every payload length: the daemon must not tell by its pace what it has decrypted.
#[must_use]
pub fn hmac(packet: &Packet, key: &HmacKey) -> [u8; 32] {
    let payload = packet.payload.as_bytes();
    let mut digest = Sha256::new();
    digest.update(packet.head());
    digest.update(packet.payload.len_bytes());
    digest.update(payload);
    let digest = digest.finalize();

    let mut filler = Sha256::new();
    for _ in blocks(payload.len())..blocks(PAYLOAD_MAX) {
        filler.update([0; BLOCK]);
    }
    core::hint::black_box(filler.finalize());

    Hmac::<Sha256>::new_from_slice(key.as_bytes())
        .expect("HMAC takes keys of any length")
        .chain_update(digest)
        .finalize()
        .into_bytes()
        .into()
}

/// The packet with the HMAC that makes it `key`'s.
#[must_use]
pub fn authenticate(packet: Packet, key: &HmacKey) -> Packet {
    Packet { hmac: hmac(&packet, key), ..packet }
}

/// Blocks that SHA-256 compresses for a payload of that length: 14 bytes of fields before it, 9 of padding behind.
const fn blocks(payload_len: usize) -> usize {
    (14 + payload_len + 9).div_ceil(BLOCK)
}

/// FIPS 180-4, section 5.2.1: 512 bits, in bytes.
const BLOCK: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::v1::{ActionId, Payload, UserId};

    #[test]
    fn every_covered_field_changes_the_hmac() {
        let key = HmacKey::parse(&[7; 32]).unwrap();
        let packet = Packet {
            timestamp: 1,
            user: UserId(2),
            action: ActionId(3),
            challenge: 4,
            hmac: [0; 32],
            payload: Payload::new(b"five").unwrap(),
        };
        let mac = hmac(&packet, &key);
        assert_eq!(hmac(&authenticate(packet, &key), &key), mac, "the HMAC does not cover itself");
        for other in [
            Packet { timestamp: 0, ..packet },
            Packet { user: UserId(0), ..packet },
            Packet { action: ActionId(0), ..packet },
            Packet { challenge: 0, ..packet },
            Packet { payload: Payload::new(b"fivE").unwrap(), ..packet },
            Packet { payload: Payload::new(b"five\0").unwrap(), ..packet },
        ] {
            assert_ne!(hmac(&other, &key), mac, "{other:?}");
        }
        assert_ne!(hmac(&packet, &HmacKey::parse(&[8; 32]).unwrap()), mac);
    }
}
