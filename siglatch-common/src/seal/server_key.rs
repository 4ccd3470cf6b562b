//! The server's public key, and sealing under it. Never holds the private half.

use alloc::string::String;

use rsa::pkcs8::{DecodePublicKey as _, EncodePublicKey as _, LineEnding};
use rsa::rand_core::OsRng;
use rsa::traits::PublicKeyParts as _;
use rsa::{Pkcs1v15Encrypt, RsaPublicKey};
use thiserror::Error;

use crate::wire::v1::{Packet, SEALED_LEN};

/// An RSA-2048 public key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ServerPublicKey(RsaPublicKey);

/// Why a text is no server key.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum PublicKeyFlaw {
    /// Not an SPKI public key in PEM.
    #[error("no RSA public key in PEM form (\"-----BEGIN PUBLIC KEY-----\")")]
    Form,
    /// Of another size: a sealed packet is always one RSA-2048 block.
    #[error("an RSA key of {bits} bits; a knock needs one of 2048")]
    Size {
        /// The size found.
        bits: usize,
    },
}

/// The packet could not be sealed: the system has no randomness to give.
#[derive(Clone, Copy, Debug, Error)]
#[error("sealing failed: the system gave no randomness, or the server key is unusable")]
pub struct SealError;

impl ServerPublicKey {
    /// Reads an SPKI PEM file.
    ///
    /// # Errors
    /// [`PublicKeyFlaw`] if it holds no RSA-2048 public key.
    pub fn from_pem(pem: &str) -> Result<Self, PublicKeyFlaw> {
        RsaPublicKey::from_public_key_pem(pem.trim()).map_err(|_| PublicKeyFlaw::Form).and_then(Self::checked)
    }

    /// Reads SPKI DER.
    ///
    /// # Errors
    /// [`PublicKeyFlaw`] if it holds no RSA-2048 public key.
    pub fn from_der(der: &[u8]) -> Result<Self, PublicKeyFlaw> {
        RsaPublicKey::from_public_key_der(der).map_err(|_| PublicKeyFlaw::Form).and_then(Self::checked)
    }

    fn checked(key: RsaPublicKey) -> Result<Self, PublicKeyFlaw> {
        match key.n().bits() {
            2048 => Ok(Self(key)),
            bits => Err(PublicKeyFlaw::Size { bits }),
        }
    }

    /// The key as an SPKI PEM file.
    ///
    /// # Panics
    /// Never: a key that was read can be written.
    #[must_use]
    pub fn to_pem(&self) -> String {
        self.0.to_public_key_pem(LineEnding::LF).expect("a key that was read can be written")
    }

    /// Seals a packet: PKCS#1 v1.5 encryption (RFC 8017, section 7.2.1).
    ///
    /// # Errors
    /// [`SealError`] if the system gives no randomness.
    pub fn seal(&self, packet: &Packet) -> Result<[u8; SEALED_LEN], SealError> {
        let sealed = self.0.encrypt(&mut OsRng, Pkcs1v15Encrypt, &packet.encode()).map_err(|_| SealError)?;
        sealed.try_into().map_err(|_| SealError)
    }
}
