//! The server's private key: opens sealed packets. Never says why one would not open.
//!
//! The operation is AWS-LC's: blinded, with a padding scan in constant time (`docs/decisions/0001-rsa.md`).

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rsa::{Pkcs1PrivateDecryptingKey, PrivateDecryptingKey};
use rsa::RsaPrivateKey;
use rsa::pkcs8::{DecodePrivateKey as _, SecretDocument};
use rsa::traits::PublicKeyParts as _;
use siglatch_common::seal::ServerPublicKey;
use siglatch_common::wire::v1::{PACKET_LEN, SEALED_LEN};
use thiserror::Error;
use zeroize::Zeroize as _;

/// An RSA-2048 private key. Clones are the same one, and cost nothing.
#[derive(Clone)]
pub struct ServerKey {
    opening: Arc<Pkcs1PrivateDecryptingKey>,
    public: ServerPublicKey,
}

/// Why a text is no server key.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum ServerKeyFlaw {
    /// Not PEM, or PEM of something else.
    #[error("no private key in PKCS#8 PEM form (\"-----BEGIN PRIVATE KEY-----\")")]
    Form,
    /// PKCS#1 PEM, as older tools write it.
    #[error(
        "a PKCS#1 key (\"-----BEGIN RSA PRIVATE KEY-----\"); convert it with: openssl pkcs8 -topk8 -nocrypt -in OLD -out NEW"
    )]
    Pkcs1,
    /// Protected by a passphrase.
    #[error(
        "protected by a passphrase, and nobody is there to type it; remove it with: openssl pkcs8 -topk8 -nocrypt -in OLD -out NEW"
    )]
    Encrypted,
    /// PKCS#8, but no sound RSA key inside.
    #[error("no sound RSA key inside")]
    Unsound,
    /// Of another size: a sealed packet is always one RSA-2048 block.
    #[error("an RSA key of {bits} bits; a knock needs one of 2048")]
    Size {
        /// The size found.
        bits: usize,
    },
}

impl ServerKey {
    /// Reads a PKCS#8 PEM file.
    ///
    /// # Errors
    /// [`ServerKeyFlaw`] says what the text is instead.
    pub fn from_pem(pem: &str) -> Result<Self, ServerKeyFlaw> {
        let (label, der) = SecretDocument::from_pem(pem.trim()).map_err(|_| ServerKeyFlaw::Form)?;
        match label {
            "PRIVATE KEY" => {}
            "RSA PRIVATE KEY" => return Err(ServerKeyFlaw::Pkcs1),
            "ENCRYPTED PRIVATE KEY" => return Err(ServerKeyFlaw::Encrypted),
            _ => return Err(ServerKeyFlaw::Form),
        }
        let key = PrivateDecryptingKey::from_pkcs8(der.as_bytes()).map_err(|_| flaw_of(der.as_bytes()))?;
        if key.key_size_bits() != 2048 {
            return Err(ServerKeyFlaw::Size { bits: key.key_size_bits() });
        }
        let spki: PublicKeyX509Der<'_> = key.public_key().as_der().map_err(|_| ServerKeyFlaw::Unsound)?;
        let public = ServerPublicKey::from_der(spki.as_ref()).map_err(|_| ServerKeyFlaw::Unsound)?;
        let opening = Pkcs1PrivateDecryptingKey::new(key).map_err(|_| ServerKeyFlaw::Unsound)?;
        Ok(Self { opening: Arc::new(opening), public })
    }

    /// The public half, for enrolment files.
    #[must_use]
    pub const fn public(&self) -> &ServerPublicKey {
        &self.public
    }

    /// Opens a sealed packet; nothing if it was not sealed under this key, or is no packet's length.
    #[must_use]
    pub fn open(&self, sealed: &[u8; SEALED_LEN]) -> Option<[u8; PACKET_LEN]> {
        let mut block = [0; SEALED_LEN];
        let packet =
            self.opening.decrypt(sealed, &mut block).ok().and_then(|plain| <[u8; PACKET_LEN]>::try_from(&*plain).ok());
        block.zeroize();
        packet
    }
}

/// Why the library takes no such key: it says of short ones only that it does not.
fn flaw_of(der: &[u8]) -> ServerKeyFlaw {
    match RsaPrivateKey::from_pkcs8_der(der) {
        Ok(key) if key.n().bits() != 2048 => ServerKeyFlaw::Size { bits: key.n().bits() },
        Ok(_) | Err(_) => ServerKeyFlaw::Unsound,
    }
}

impl fmt::Debug for ServerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerKey(..)")
    }
}
