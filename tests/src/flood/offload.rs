//! Generic receive offload of one interface, on or off. Never touches another offload.

use std::io;

use anyhow::{Context as _, Result, ensure};
use socket2::{Domain, Socket, Type};

use crate::netns::Namespace;

/// Turns generic receive offload of an interface on or off. While it is on, a veth takes live frames from its other end
/// without an XDP program of its own.
///
/// # Errors
/// If there is no such interface.
pub fn receive_offload(namespace: &Namespace, interface: &str, on: bool) -> Result<()> {
    ensure!(interface.len() < libc::IFNAMSIZ, "{interface} is no interface's name");
    let mut value = EthtoolValue { command: ETHTOOL_SGRO, data: on.into() };
    let done = namespace.within(|| {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
        let mut request = InterfaceRequest { name: [0; libc::IFNAMSIZ], data: &raw mut value, padding: [0; 16] };
        request.name[..interface.len()].copy_from_slice(interface.as_bytes());
        // SAFETY: the request is as `SIOCETHTOOL` wants it, and the value in it lives longer than the call.
        let result =
            unsafe { libc::ioctl(std::os::fd::AsRawFd::as_raw_fd(&socket), libc::SIOCETHTOOL, &raw mut request) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    });
    done?.with_context(|| format!("no receive offload on {interface} of {}", namespace.name()))
}

/// `linux/ethtool.h`, `struct ethtool_value`.
#[repr(C)]
struct EthtoolValue {
    command: u32,
    data: u32,
}

/// `linux/if.h`, `struct ifreq`: 16 bytes of name, and a union of 24 bytes.
#[repr(C)]
struct InterfaceRequest {
    name: [u8; libc::IFNAMSIZ],
    data: *mut EthtoolValue,
    padding: [u8; 16],
}

/// `linux/ethtool.h`.
const ETHTOOL_SGRO: u32 = 0x2c;
