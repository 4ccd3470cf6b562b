//! Sealed knocks, written before anything is timed. Never sends one.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use siglatch_common::seal::{self, HmacKey, ServerPublicKey};
use siglatch_common::wire::v1::{ActionId, Packet, Payload, SEALED_LEN, UserId};
use siglatch_user::keys::ServerKey;

/// One user of the gateway, who never writes the same knock twice.
pub(crate) struct Writer {
    user: UserId,
    action: ActionId,
    key: HmacKey,
    server: ServerPublicKey,
    challenge: u32,
}

/// The gateway's private key, as the daemon uses it.
pub(crate) fn server_key(path: &Path) -> Result<ServerKey> {
    let pem = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    Ok(ServerKey::from_pem(&pem)?)
}

impl Writer {
    pub(crate) fn new(user: UserId, action: ActionId, key: HmacKey, server: ServerPublicKey) -> Self {
        Self { user, action, key, server, challenge: 0 }
    }

    /// A knock that the gateway admits for the next minute.
    pub(crate) fn knock(&mut self) -> Result<[u8; SEALED_LEN]> {
        self.knock_for(self.action)
    }

    /// The same for another action.
    pub(crate) fn knock_for(&mut self, action: ActionId) -> Result<[u8; SEALED_LEN]> {
        self.challenge += 1;
        let timestamp = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let packet = Packet {
            timestamp: u32::try_from(timestamp)?,
            user: self.user,
            action,
            challenge: self.challenge,
            hmac: [0; 32],
            payload: Payload::EMPTY,
        };
        Ok(self.server.seal(&seal::authenticate(packet, &self.key))?)
    }

    /// So many of them.
    pub(crate) fn knocks(&mut self, count: usize) -> Result<Vec<[u8; SEALED_LEN]>> {
        (0..count).map(|_| self.knock()).collect()
    }
}
