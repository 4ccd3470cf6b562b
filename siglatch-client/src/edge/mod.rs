//! Everything that touches the world: clock, randomness, files, sockets, terminal. Never decides what to knock for.

pub(crate) mod clock;
pub(crate) mod files;
pub(crate) mod network;
pub(crate) mod randomness;
pub(crate) mod store;
pub(crate) mod terminal;
