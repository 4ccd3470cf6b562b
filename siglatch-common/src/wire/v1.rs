//! Version 1 of the knock: 245 bytes, packed, little-endian, zero padded. Frozen: existing clients speak it.
//! Never encrypts, decrypts or authenticates.

use core::fmt;

/// Length of a packet, in bytes; the most that PKCS#1 v1.5 holds under an RSA-2048 key.
pub const PACKET_LEN: usize = 245;

/// Length of a sealed packet, in bytes: one RSA-2048 block.
pub const SEALED_LEN: usize = 256;

/// The longest payload, in bytes.
pub const PAYLOAD_MAX: usize = 199;

/// The only value of the version byte.
pub const VERSION: u8 = 1;

/// Who knocks.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct UserId(pub u16);

/// What for.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ActionId(pub u8);

/// The free part of a packet, 0 to 199 bytes.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct Payload {
    len: u8,
    bytes: [u8; PAYLOAD_MAX],
}

/// A packet of sound form. Whether it is authentic is another question.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Packet {
    /// Seconds since the Unix epoch, by the client's clock.
    pub timestamp: u32,
    /// Who knocks.
    pub user: UserId,
    /// What for.
    pub action: ActionId,
    /// Random: tells two knocks of one second apart.
    pub challenge: u32,
    /// HMAC-SHA256 under the user's key, over the SHA-256 of the rest.
    pub hmac: [u8; 32],
    /// Words for the action.
    pub payload: Payload,
}

/// A packet as it was read, with what is wrong with its form, if anything.
///
/// Exists so that the daemon can do the same work on every packet, sound or not.
#[derive(Clone, Copy, Debug)]
pub struct Unchecked {
    /// The fields; a payload length over 199 is read as 199.
    pub packet: Packet,
    /// The first thing that is wrong.
    pub flaw: Option<Malformed>,
}

/// Why 245 bytes are no packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Malformed {
    /// The version byte is not 1.
    Version,
    /// The payload length is over 199.
    PayloadLength,
    /// A byte behind the payload is not zero: one packet has one form.
    Tail,
}

impl Payload {
    /// No payload.
    pub const EMPTY: Self = Self { len: 0, bytes: [0; PAYLOAD_MAX] };

    /// A payload of at most 199 bytes; nothing if it is longer.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let mut payload = Self::EMPTY;
        payload.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        payload.len = u8::try_from(bytes.len()).ok()?;
        Some(payload)
    }

    /// The bytes in use.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or(&[])
    }

    /// The length, as it stands in the packet.
    #[must_use]
    pub const fn len_bytes(&self) -> [u8; 2] {
        [self.len, 0]
    }
}

impl fmt::Debug for Payload {
    /// The length alone: a payload is the client's secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.len)
    }
}

impl Packet {
    /// Reads a packet of sound form.
    ///
    /// # Errors
    /// [`Malformed`] names the first thing that is wrong.
    pub fn decode(bytes: &[u8; PACKET_LEN]) -> Result<Self, Malformed> {
        let Unchecked { packet, flaw } = Unchecked::read(bytes);
        match flaw {
            None => Ok(packet),
            Some(flaw) => Err(flaw),
        }
    }

    /// The packet's one form.
    #[must_use]
    pub fn encode(&self) -> [u8; PACKET_LEN] {
        let mut bytes = [0; PACKET_LEN];
        bytes[..12].copy_from_slice(&self.head());
        bytes[12..44].copy_from_slice(&self.hmac);
        bytes[44..46].copy_from_slice(&self.payload.len_bytes());
        bytes[46..].copy_from_slice(&self.payload.bytes);
        bytes
    }

    /// The first 12 bytes: all that stands before the HMAC.
    #[must_use]
    pub fn head(&self) -> [u8; 12] {
        let mut head = [0; 12];
        head[0] = VERSION;
        head[1..5].copy_from_slice(&self.timestamp.to_le_bytes());
        head[5..7].copy_from_slice(&self.user.0.to_le_bytes());
        head[7] = self.action.0;
        head[8..12].copy_from_slice(&self.challenge.to_le_bytes());
        head
    }
}

impl Unchecked {
    /// Reads every field, whatever is wrong with the form. Takes the same time for all bytes.
    #[must_use]
    pub fn read(bytes: &[u8; PACKET_LEN]) -> Self {
        let declared = u16::from_le_bytes([bytes[44], bytes[45]]);
        let len = declared.min(PAYLOAD_MAX as u16) as u8;
        let mut payload = Payload { len, bytes: [0; PAYLOAD_MAX] };
        let mut tail = 0;
        for (at, (place, byte)) in payload.bytes.iter_mut().zip(&bytes[46..]).enumerate() {
            let inside = 0_u8.wrapping_sub(u8::from(at < usize::from(len)));
            *place = byte & inside;
            tail |= byte & !inside;
        }
        let flaw = if bytes[0] != VERSION {
            Some(Malformed::Version)
        } else if usize::from(declared) > PAYLOAD_MAX {
            Some(Malformed::PayloadLength)
        } else if tail != 0 {
            Some(Malformed::Tail)
        } else {
            None
        };
        let packet = Packet {
            timestamp: u32::from_le_bytes([bytes[1], bytes[2], bytes[3], bytes[4]]),
            user: UserId(u16::from_le_bytes([bytes[5], bytes[6]])),
            action: ActionId(bytes[7]),
            challenge: u32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]),
            hmac: array(&bytes[12..44]),
            payload,
        };
        Self { packet, flaw }
    }
}

fn array(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(bytes);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_packet_survives_encoding(
            timestamp: u32, user: u16, action: u8, challenge: u32, hmac: [u8; 32],
            payload in proptest::collection::vec(any::<u8>(), 0..=PAYLOAD_MAX),
        ) {
            let packet = Packet {
                timestamp, user: UserId(user), action: ActionId(action), challenge, hmac,
                payload: Payload::new(&payload).unwrap(),
            };
            prop_assert_eq!(Packet::decode(&packet.encode()), Ok(packet));
        }

        #[test]
        fn what_decodes_encodes_to_the_same_bytes(mut bytes in proptest::array::uniform32(any::<u8>()), len in 0..=220_u16) {
            bytes[0] %= 2;
            let mut packet = [0; PACKET_LEN];
            packet[..32].copy_from_slice(&bytes);
            packet[44..46].copy_from_slice(&len.to_le_bytes());
            if let Ok(decoded) = Packet::decode(&packet) {
                prop_assert_eq!(decoded.encode(), packet);
            }
        }
    }

    #[test]
    fn each_flaw_is_refused_and_its_near_miss_is_not() {
        let sound = Packet {
            timestamp: 1,
            user: UserId(2),
            action: ActionId(3),
            challenge: 4,
            hmac: [5; 32],
            payload: Payload::new(&[6; PAYLOAD_MAX - 1]).unwrap(),
        };
        let bytes = sound.encode();
        assert_eq!(Packet::decode(&bytes), Ok(sound));

        let with = |at: usize, byte: u8| {
            let mut changed = bytes;
            changed[at] = byte;
            Packet::decode(&changed)
        };
        assert_eq!(with(0, 0), Err(Malformed::Version));
        assert_eq!(with(0, 2), Err(Malformed::Version));
        assert_eq!(with(44, 200), Err(Malformed::PayloadLength));
        assert!(with(44, 199).is_ok());
        assert_eq!(with(45, 0xff), Err(Malformed::PayloadLength));
        assert_eq!(with(244, 1), Err(Malformed::Tail));
        assert_eq!(with(44, 0), Err(Malformed::Tail));
    }

    #[test]
    fn a_payload_of_200_bytes_does_not_exist() {
        assert!(Payload::new(&[0; 200]).is_none());
        assert!(Payload::new(&[0; 199]).is_some());
    }
}
