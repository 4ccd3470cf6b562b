//! Where IO happens: kernel maps, sockets, nftables, files, clocks, randomness. Nothing here decides who is let in.
#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "the edge is where IO is")]

pub mod action;
pub mod activation;
pub mod addresses;
pub mod admin;
pub mod audit;
pub mod ban_store;
pub mod blacklist_files;
pub mod clock;
pub mod conntrack;
pub mod descriptors;
pub mod files;
pub mod firewall;
pub mod formats;
mod fresh_file;
pub mod instance;
pub mod itself;
pub mod key_pool;
pub mod lanes;
pub mod ledger;
pub mod lists;
pub mod metrics;
pub mod network;
pub mod nonce_store;
pub mod notify;
pub mod privilege;
pub mod randomness;
pub mod remembered_files;
pub mod socket;
pub mod switch_store;
pub mod terminal;
pub mod watched_file;
pub mod xdp;
