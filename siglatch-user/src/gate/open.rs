//! Rung 1: a packet that authenticates. Every failure takes the same work and gives the same refusal.
//!
//! Needs neither state nor time, so that many threads can do it at once: it is the only dear rung.

use siglatch_common::seal::hmac;
use siglatch_common::wire::Wire;
use siglatch_common::wire::v1::{ActionId, PACKET_LEN, Payload, SEALED_LEN, Unchecked, UserId};
use subtle::{Choice, ConstantTimeEq as _};

use super::{Nonce, Refusal};
use crate::keys::Keyring;

/// An authentic packet.
#[derive(Clone, Copy, Debug)]
pub struct Opened {
    pub(super) nonce: Nonce,
    pub(super) action: ActionId,
    pub(super) payload: Payload,
    /// Whether it came encrypted.
    pub(super) sealed: bool,
    _proof: (),
}

impl Opened {
    /// Who has signed it.
    #[must_use]
    pub const fn user(&self) -> UserId {
        self.nonce.user
    }

    /// What makes it the only one of its kind.
    #[must_use]
    pub const fn nonce(&self) -> Nonce {
        self.nonce
    }

    /// What for.
    #[must_use]
    pub const fn action(&self) -> ActionId {
        self.action
    }

    /// What came with it.
    #[must_use]
    pub const fn payload(&self) -> &Payload {
        &self.payload
    }
}

/// Stands in for a packet that cannot be opened, so that the rest of the work is done all the same.
#[derive(Clone)]
pub struct Decoy([u8; PACKET_LEN]);

impl Decoy {
    /// `random` bytes make a packet that nobody signed.
    #[must_use]
    pub const fn from_random(random: [u8; PACKET_LEN]) -> Self {
        Self(random)
    }
}

impl std::fmt::Debug for Decoy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Decoy(..)")
    }
}

/// Opens and authenticates a datagram.
///
/// # Errors
/// [`Refusal::Unauthentic`], whatever is wrong.
pub fn open(datagram: &[u8], wire: Wire, keys: &Keyring, decoy: &Decoy) -> Result<Opened, Refusal> {
    let opened = match wire {
        // The stamp has done its work in the filter: it proves nothing here.
        Wire::Sealed | Wire::Stamped => datagram
            .get(wire.packet_at()..)
            .and_then(|sealed| <&[u8; SEALED_LEN]>::try_from(sealed).ok())
            .and_then(|sealed| keys.server().open(sealed)),
        Wire::Clear => <[u8; PACKET_LEN]>::try_from(datagram).ok(),
    };
    let is_ours = Choice::from(u8::from(opened.is_some()));
    let Unchecked { packet, flaw } = Unchecked::read(&opened.unwrap_or(decoy.0));
    let is_sound = Choice::from(u8::from(flaw.is_none()));
    let (key, is_enrolled) = keys.user(packet.user);
    let is_signed = hmac(&packet, key).as_slice().ct_eq(packet.hmac.as_slice());

    if bool::from(is_ours & is_sound & is_enrolled & is_signed) {
        Ok(Opened {
            nonce: Nonce::of(&packet),
            action: packet.action,
            payload: packet.payload,
            sealed: wire != Wire::Clear,
            _proof: (),
        })
    } else {
        Err(Refusal::Unauthentic)
    }
}
