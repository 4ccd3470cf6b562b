//! A gate key, the forms its file may have, and the keys that it gives for each epoch. Never touches the file itself.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};
use zeroize::Zeroize;

use super::key_file::{hex_digit, hex_digits};
use super::{KeyFlaw, Secret};
use crate::siphash::Key;
use crate::stamp::Epoch;

/// What every enrolled client of a gate holds, so that its knocks can be told from junk.
#[derive(Clone, Debug)]
pub struct GateKey(Secret<16>);

impl GateKey {
    /// Reads the contents of a key file: exactly 16 raw bytes, or 32 hex digits with white space ignored.
    ///
    /// # Errors
    /// [`KeyFlaw`] says what the contents are instead.
    pub fn parse(contents: &[u8]) -> Result<Self, KeyFlaw> {
        let mut bytes = match contents.try_into() {
            Ok(raw) => raw,
            Err(_) => hex_digits(contents).ok_or(KeyFlaw::Form)?,
        };
        let key = Self(Secret::take(&mut bytes));
        if key.0.as_bytes().iter().all(|byte| *byte == 0) {
            return Err(KeyFlaw::Zero);
        }
        Ok(key)
    }

    /// The key as a key file holds it: 32 lower-case hex digits and a newline. The caller wipes it.
    #[must_use]
    pub fn to_hex_file(&self) -> [u8; 33] {
        let mut file = [b'\n'; 33];
        for (pair, byte) in file.chunks_exact_mut(2).zip(self.0.as_bytes()) {
            pair.copy_from_slice(&[hex_digit(byte >> 4), hex_digit(byte & 15)]);
        }
        file
    }

    /// The key that stamps of an epoch are made with: the first 16 bytes of HMAC-SHA256 under the gate key over
    /// `siglatch stamp v1` and the epoch, 8 bytes, little-endian.
    #[must_use]
    pub fn of_epoch(&self, epoch: Epoch) -> Key {
        let mut mac: [u8; 32] = Hmac::<Sha256>::new_from_slice(self.0.as_bytes())
            .expect("HMAC takes keys of any length")
            .chain_update(b"siglatch stamp v1")
            .chain_update(epoch.0.to_le_bytes())
            .finalize()
            .into_bytes()
            .into();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&mac[..16]);
        let key = Key::from_bytes(bytes);
        bytes.zeroize();
        mac.zeroize();
        key
    }
}

impl ConstantTimeEq for GateKey {
    fn ct_eq(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    #[test]
    fn both_forms_are_one_key_and_it_reads_back() {
        let raw: Vec<u8> = (0..16).collect();
        let key = GateKey::parse(&raw).unwrap();
        assert_eq!(GateKey::parse(b"00010203 04050607\n08090a0b0c0d0e0F").unwrap().0.as_bytes(), key.0.as_bytes());
        assert_eq!(GateKey::parse(&key.to_hex_file()).unwrap().0.as_bytes(), key.0.as_bytes());
    }

    #[test]
    fn what_is_nearly_a_key_is_refused() {
        for form in [&[1; 15][..], &[1; 17], b"0001020304050607080910111213141", &[b'1'; 64]] {
            assert_eq!(GateKey::parse(form).unwrap_err(), KeyFlaw::Form);
        }
        assert_eq!(GateKey::parse(&[0; 16]).unwrap_err(), KeyFlaw::Zero);
    }

    /// Computed by a second implementation, for the key 00 01 … 0f.
    #[test]
    fn an_epoch_has_the_key_that_the_protocol_says() {
        let key = GateKey::parse(&core::array::from_fn::<u8, 16, _>(|at| at as u8)).unwrap();
        let expected = [0x95, 0xf5, 0x0d, 0x4f, 0x9a, 0x7d, 0x96, 0xb8, 0x67, 0x67, 0x22, 0xbe, 0xda, 0x5e, 0xd7, 0x5c];
        assert_eq!(key.of_epoch(Epoch(3_000_000)), Key::from_bytes(expected));
        assert_ne!(key.of_epoch(Epoch(3_000_001)), Key::from_bytes(expected));
    }
}
