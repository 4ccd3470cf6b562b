//! The addresses of this machine, by interface, as they stand at the moment. Never follows their changes: `network.rs` does.
#![expect(unsafe_code, reason = "the C library asks the kernel, without a runtime")]

use std::ffi::CStr;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ptr;

use siglatch_common::address::Address;

/// Each address with the name of its interface; nothing if the kernel does not tell.
#[must_use]
pub fn of_this_machine() -> Option<Vec<(String, Address)>> {
    let mut list = ptr::null_mut();
    // SAFETY: it writes one pointer, to where it may.
    if unsafe { libc::getifaddrs(&raw mut list) } != 0 {
        return None;
    }
    let mut addresses = Vec::new();
    let mut next: *const libc::ifaddrs = list;
    // SAFETY: each entry is null or one of the list, which lives until it is freed below.
    while let Some(entry) = unsafe { next.as_ref() } {
        if let Some(address) = address(entry.ifa_addr) {
            // SAFETY: every entry has a name that ends with a zero and lives as long as the list.
            let name = unsafe { CStr::from_ptr(entry.ifa_name) };
            addresses.push((name.to_string_lossy().into_owned(), address));
        }
        next = entry.ifa_next;
    }
    // SAFETY: it is the list that was given out above, freed once; nothing points into it any more.
    unsafe { libc::freeifaddrs(list) };
    Some(addresses)
}

/// The address in one of the C library's records; nothing if it is of another kind.
fn address(record: *const libc::sockaddr) -> Option<Address> {
    // SAFETY: an entry's record is null or a live socket address, which begins with its family.
    let family = unsafe { record.as_ref() }?.sa_family;
    match libc::c_int::from(family) {
        libc::AF_INET => {
            // SAFETY: the family says that it is this record; it may stand anywhere.
            let v4 = unsafe { record.cast::<libc::sockaddr_in>().read_unaligned() };
            Some(Address::v4(Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr)).octets()))
        }
        libc::AF_INET6 => {
            // SAFETY: the family says that it is this record; it may stand anywhere.
            let v6 = unsafe { record.cast::<libc::sockaddr_in6>().read_unaligned() };
            Some(Address::v6(Ipv6Addr::from(v6.sin6_addr.s6_addr).octets()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_among_the_addresses() {
        let addresses = of_this_machine().unwrap();
        assert!(addresses.contains(&("lo".to_owned(), Address::v4([127, 0, 0, 1]))), "{addresses:?}");
    }
}
