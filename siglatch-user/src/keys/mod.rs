//! The keys that open knocks. Never reads a key file, and never prints a key.

mod keyring;
mod server_key;

pub use keyring::Keyring;
pub use server_key::{ServerKey, ServerKeyFlaw};
