//! The system's randomness. Never keeps any.

use siglatch_common::seal::HmacKey;
use zeroize::Zeroizing;

use crate::failure::Failure;

/// A number that tells two knocks of one second apart.
///
/// # Errors
/// [`Failure::Randomness`] if the system gives none.
pub(crate) fn challenge() -> Result<u32, Failure> {
    getrandom::u32().map_err(Failure::Randomness)
}

/// A new key.
///
/// # Errors
/// [`Failure::Randomness`] if the system gives none.
pub(crate) fn hmac_key() -> Result<HmacKey, Failure> {
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(bytes.as_mut_slice()).map_err(Failure::Randomness)?;
    HmacKey::parse(bytes.as_slice()).map_err(|_| Failure::Randomness(getrandom::Error::UNEXPECTED))
}
