//! The keys that open knocks. Never reads a key file, and never prints a key.

mod gate_keys;
mod keyring;
mod server_key;

pub use gate_keys::{GateKeys, next_epoch};
pub use keyring::Keyring;
pub use server_key::{ServerKey, ServerKeyFlaw};
