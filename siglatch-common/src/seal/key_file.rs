//! The user's key and the forms its file may have. Never touches the file itself.

use subtle::{Choice, ConstantTimeEq};
use thiserror::Error;
use zeroize::Zeroize;

use super::Secret;

/// A user's HMAC key.
#[derive(Clone, Debug)]
pub struct HmacKey(Secret<32>);

/// Why the contents of a file are no HMAC key.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum KeyFlaw {
    /// Neither 32 bytes nor 64 hex digits.
    #[error("neither 32 raw bytes nor 64 hex digits")]
    Form,
    /// Every byte is zero: a key that was never made.
    #[error("all zero: a key that was never made")]
    Zero,
}

impl HmacKey {
    /// Reads the contents of a key file: exactly 32 raw bytes, or 64 hex digits with white space ignored.
    ///
    /// # Errors
    /// [`KeyFlaw`] says what the contents are instead.
    pub fn parse(contents: &[u8]) -> Result<Self, KeyFlaw> {
        let mut bytes = match contents.try_into() {
            Ok(raw) => raw,
            Err(_) => hex_digits(contents).ok_or(KeyFlaw::Form)?,
        };
        let key = Self(Secret::take(&mut bytes));
        if key.as_bytes().iter().all(|byte| *byte == 0) {
            return Err(KeyFlaw::Zero);
        }
        Ok(key)
    }

    /// The key, as HMAC takes it.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// The key as a key file holds it: 64 lower-case hex digits and a newline. The caller wipes it.
    #[must_use]
    pub fn to_hex_file(&self) -> [u8; 65] {
        let mut file = [b'\n'; 65];
        for (pair, byte) in file.chunks_exact_mut(2).zip(self.as_bytes()) {
            pair.copy_from_slice(&[hex_digit(byte >> 4), hex_digit(byte & 15)]);
        }
        file
    }
}

impl ConstantTimeEq for HmacKey {
    fn ct_eq(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

/// The bytes that exactly `2 * N` hex digits say, with white space ignored.
pub(super) fn hex_digits<const N: usize>(contents: &[u8]) -> Option<[u8; N]> {
    let mut key = [0; N];
    let mut digits = 0;
    for byte in contents.iter().filter(|byte| !byte.is_ascii_whitespace()) {
        let place = key.get_mut(digits / 2);
        let value = char::from(*byte).to_digit(16).and_then(|value| u8::try_from(value).ok());
        let (Some(place), Some(value)) = (place, value) else {
            key.zeroize();
            return None;
        };
        *place = *place << 4 | value;
        digits += 1;
    }
    if digits != 2 * N {
        key.zeroize();
        return None;
    }
    Some(key)
}

pub(super) const fn hex_digit(value: u8) -> u8 {
    if value < 10 { b'0' + value } else { b'a' + value - 10 }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    const HEX: &[u8] = b"000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F";

    #[test]
    fn all_three_forms_are_one_key() {
        let raw: Vec<u8> = (0..32).collect();
        let spaced: Vec<u8> = HEX.chunks(7).flat_map(|chunk| [chunk, b" \t\r\n"].concat()).collect();
        for form in [&raw[..], HEX, &spaced] {
            assert_eq!(HmacKey::parse(form).unwrap().as_bytes(), &raw[..]);
        }
    }

    #[test]
    fn a_key_reads_back_from_its_own_file() {
        let key = HmacKey::parse(HEX).unwrap();
        assert!(bool::from(HmacKey::parse(&key.to_hex_file()).unwrap().ct_eq(&key)));
    }

    #[test]
    fn what_is_nearly_a_key_is_refused() {
        assert_eq!(HmacKey::parse(&[]).unwrap_err(), KeyFlaw::Form);
        assert_eq!(HmacKey::parse(&[1; 31]).unwrap_err(), KeyFlaw::Form);
        assert_eq!(HmacKey::parse(&[1; 33]).unwrap_err(), KeyFlaw::Form);
        assert_eq!(HmacKey::parse(&HEX[..63]).unwrap_err(), KeyFlaw::Form);
        assert_eq!(HmacKey::parse(&[HEX, b"0"].concat()).unwrap_err(), KeyFlaw::Form);
        assert_eq!(HmacKey::parse(&[&HEX[..63], b"g"].concat()).unwrap_err(), KeyFlaw::Form);
        assert_eq!(HmacKey::parse(&[0; 32]).unwrap_err(), KeyFlaw::Zero);
        assert_eq!(HmacKey::parse(&[b'0'; 64]).unwrap_err(), KeyFlaw::Zero);
    }
}
