//! Reads the kernel's randomness: what a stranger's knock is compared with.

use siglatch_common::seal::HmacKey;
use siglatch_common::siphash::Key;
use siglatch_common::wire::v1::PACKET_LEN;

use crate::gate::Decoy;

/// A packet that nobody signed.
///
/// # Errors
/// If the kernel gives no randomness.
pub fn decoy() -> Result<Decoy, getrandom::Error> {
    bytes::<PACKET_LEN>().map(Decoy::from_random)
}

/// A key that nobody has.
///
/// # Errors
/// If the kernel gives no randomness.
pub fn hmac_key() -> Result<HmacKey, getrandom::Error> {
    loop {
        if let Ok(key) = HmacKey::parse(&bytes::<32>()?) {
            return Ok(key);
        }
    }
}

/// A secret of this host for spreading things over tables.
///
/// # Errors
/// If the kernel gives no randomness.
pub fn spread() -> Result<Key, getrandom::Error> {
    bytes().map(Key::from_bytes)
}

/// The number of a run of the daemon: no two alike, as far as 32 bits go.
///
/// # Errors
/// If the kernel gives no randomness.
pub fn run() -> Result<u32, getrandom::Error> {
    bytes().map(u32::from_le_bytes)
}

fn bytes<const N: usize>() -> Result<[u8; N], getrandom::Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}
