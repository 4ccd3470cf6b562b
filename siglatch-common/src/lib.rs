//! What kernel, daemon and client agree on: units, addresses, map layouts, frame reading, the kernel's
//! decision, and the bytes of a knock. Never reads a clock, a socket or a file.
#![no_std]
#![deny(unsafe_code)]

#[cfg(any(feature = "seal", feature = "enrolment"))]
extern crate alloc;

pub mod address;
pub mod ban;
#[cfg(feature = "enrolment")]
pub mod enrolment;
pub mod filter;
pub mod frame;
pub mod lane;
pub mod layout;
pub mod outcome;
pub mod own_addresses;
pub mod pace;
#[cfg(feature = "seal")]
pub mod seal;
pub mod siphash;
pub mod stamp;
pub mod units;
pub mod wire;
