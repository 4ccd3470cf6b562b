//! Bytes that are wiped when dropped, compared in constant time and never printed.

use core::fmt;

use subtle::{Choice, ConstantTimeEq};
use zeroize::Zeroize;

/// `N` secret bytes.
pub struct Secret<const N: usize>([u8; N]);

impl<const N: usize> Secret<N> {
    /// Takes the bytes over and wipes the place they came from.
    #[must_use]
    pub fn take(bytes: &mut [u8; N]) -> Self {
        let secret = Self(*bytes);
        bytes.zeroize();
        secret
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; N] {
        &self.0
    }
}

impl<const N: usize> Clone for Secret<N> {
    fn clone(&self) -> Self {
        Self(self.0)
    }
}

impl<const N: usize> ConstantTimeEq for Secret<N> {
    fn ct_eq(&self, other: &Self) -> Choice {
        self.0.as_slice().ct_eq(other.0.as_slice())
    }
}

impl<const N: usize> fmt::Debug for Secret<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl<const N: usize> Drop for Secret<N> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    #[test]
    fn a_secret_is_never_printed_and_its_source_is_wiped() {
        let mut bytes = [0x41; 4];
        let secret = Secret::take(&mut bytes);
        assert_eq!(std::format!("{secret:?}"), "Secret(..)");
        assert_eq!(bytes, [0; 4]);
        assert_eq!(secret.as_bytes(), &[0x41; 4]);
    }
}
