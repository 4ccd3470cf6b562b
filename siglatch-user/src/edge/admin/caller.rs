//! Asks the kernel who is at the other end of a Unix socket. Never decides what they may do.
#![expect(unsafe_code, reason = "only the C library tells the groups of a peer")]

use std::io;
use std::mem::size_of;
use std::os::fd::AsRawFd as _;

use tokio::net::UnixStream;

use super::Peer;
use crate::admin::Caller;

/// Who connected: process, user, group and the other groups, as they were then.
///
/// # Errors
/// What the kernel says.
pub(super) fn caller(stream: &UnixStream) -> io::Result<(Caller, Peer)> {
    let credentials = stream.peer_cred()?;
    let (uid, gid) = (credentials.uid(), credentials.gid());
    Ok((Caller { uid, gid, groups: groups(stream)? }, Peer { uid, pid: credentials.pid() }))
}

fn groups(stream: &UnixStream) -> io::Result<Vec<u32>> {
    let mut groups: Vec<libc::gid_t> = vec![0; FEW];
    loop {
        let mut length = libc::socklen_t::try_from(groups.len() * size_of::<libc::gid_t>()).unwrap_or(0);
        // SAFETY: `groups` has room for `length` bytes and lives until the call returns; the kernel writes at most
        // `length` bytes of group numbers there, and sets `length` to how many there are.
        let done = unsafe {
            libc::getsockopt(
                stream.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERGROUPS,
                groups.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        let count = length as usize / size_of::<libc::gid_t>();
        if done == 0 {
            groups.truncate(count);
            return Ok(groups);
        }
        let error = io::Error::last_os_error();
        // There are more: it has said how many.
        if error.raw_os_error() != Some(libc::ERANGE) || count <= groups.len() || count > MOST {
            return Err(error);
        }
        groups.resize(count, 0);
    }
}

/// Hardly anybody is in more groups.
const FEW: usize = 64;
/// `linux/limits.h`, `NGROUPS_MAX`.
const MOST: usize = 65_536;
