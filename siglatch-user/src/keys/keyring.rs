//! All keys of the gateway, and a key for everyone else. Never tells a stranger from a user by its pace.

use siglatch_common::seal::HmacKey;
use siglatch_common::wire::v1::UserId;
use subtle::Choice;

use super::ServerKey;

/// The server's key, and one HMAC key for every user id that exists, real or not.
#[derive(Debug)]
pub struct Keyring {
    server: ServerKey,
    /// Place in `keys` of each user id; 0 for ids that nobody has.
    places: Box<[u16]>,
    /// The first is the stranger's.
    keys: Vec<HmacKey>,
}

impl Keyring {
    /// Puts the keys together. `stranger` is random: the key that the knocks of unknown users are checked against,
    /// and fail. At most 65,535 users; of two with one id, the last counts.
    #[must_use]
    pub fn new(server: ServerKey, users: impl IntoIterator<Item = (UserId, HmacKey)>, stranger: HmacKey) -> Self {
        let mut places = vec![0; usize::from(u16::MAX) + 1].into_boxed_slice();
        let mut keys = vec![stranger];
        for (UserId(id), key) in users {
            if let Ok(place) = u16::try_from(keys.len()) {
                places[usize::from(id)] = place;
                keys.push(key);
            }
        }
        Self { server, places, keys }
    }

    /// The server's key.
    #[must_use]
    pub const fn server(&self) -> &ServerKey {
        &self.server
    }

    /// The key to check a user's knock against, and whether it is anybody's. One look-up, whoever asks.
    #[must_use]
    pub fn user(&self, UserId(id): UserId) -> (&HmacKey, Choice) {
        let place = self.places[usize::from(id)];
        (&self.keys[usize::from(place)], Choice::from(u8::from(place != 0)))
    }
}
