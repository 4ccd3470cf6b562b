//! Makes keys. Never writes them anywhere.

use rsa::pkcs8::{EncodePrivateKey as _, EncodePublicKey as _, LineEnding};
use rsa::rand_core::OsRng;
use rsa::{RsaPrivateKey, RsaPublicKey};
use siglatch_common::seal::{GateKey, HmacKey};
use zeroize::Zeroizing;

/// A server's new keys.
pub(super) struct ServerPair {
    /// PKCS#8 PEM.
    pub(super) private: Zeroizing<String>,
    /// SPKI PEM.
    pub(super) public: String,
}

/// Makes an RSA-2048 key.
pub(super) fn server_pair() -> anyhow::Result<ServerPair> {
    let key = RsaPrivateKey::new(&mut OsRng, 2048)?;
    let private = key.to_pkcs8_pem(LineEnding::LF)?;
    let public = RsaPublicKey::from(&key).to_public_key_pem(LineEnding::LF)?;
    Ok(ServerPair { private, public })
}

/// Makes a gate key.
pub(super) fn gate_key() -> anyhow::Result<GateKey> {
    let mut random = Zeroizing::new([0; 16]);
    getrandom::fill(&mut *random)?;
    Ok(GateKey::parse(&*random)?)
}

/// Makes a user's key.
pub(super) fn user_key() -> anyhow::Result<HmacKey> {
    let mut random = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *random)?;
    Ok(HmacKey::parse(&*random)?)
}
