//! Cuts connections that outlive their grant: the kernel forgets them, and ends this host's own sockets. Never decides whose.
//!
//! A revoked grant lets established connections go on. One that connection tracking has forgotten is new when its next packet
//! comes, and closed to whoever holds no grant. But it is new as well when the service speaks first, and then the client's
//! answer is one to an established connection. So the sockets of this host's TCP services are ended too: their clients are
//! told by a reset. What is forwarded is closed by the rule that asks who began. For UDP neither can be done: a
//! service that goes on speaking to a client by itself hears its answers.
//!
//! All calls block. They work in the network namespace of the calling thread, and need CAP_NET_ADMIN.

mod flow;
mod sockets;
mod table;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io;
use std::net::{IpAddr, UdpSocket};

use siglatch_common::address::Address;

use crate::gate::Whose;
use table::{Query, Table};

/// Ends every connection that is meant, and says how many there were. Others stay.
///
/// A flow counts by where it comes from and where it got to, the host and port behind all translation of addresses; or by
/// the port of this host that led it there.
/// Flows that are not tracked (`notrack`) are not known, and not cut.
///
/// # Errors
/// The kernel's answer. [`io::ErrorKind::Unsupported`] if it does not track connections, or cannot end sockets: then
/// what was tracked is forgotten all the same.
pub fn cut(whose: &Whose) -> io::Result<usize> {
    if whose.is_nobody() {
        return Ok(0);
    }
    let mut hosts = HashMap::new();
    let mut is_own = |host| *hosts.entry(host).or_insert_with(|| is_own(host));
    let (mut cut, unended) = match sockets::end(whose, &mut is_own) {
        Ok(ended) => (ended, None),
        Err(error) => (HashSet::new(), Some(error)),
    };
    let mut table = Table::open()?;
    for query in queries(whose) {
        for flow in table.flows(&query)? {
            let keys = flow.keys(&mut is_own);
            if keys.iter().any(|key| whose.means(key, || is_own(key.source))) && table.forget(&flow)? {
                cut.insert(flow.ends());
            }
        }
    }
    unended.map_or(Ok(cut.len()), Err)
}

/// What the table is asked for: a few sources of IPv4 one by one, else everything of a version.
fn queries(whose: &Whose) -> Vec<Query> {
    let Whose::Of(keys) = whose else {
        return vec![Query::V4, Query::V6];
    };
    let sources: BTreeSet<Address> = keys.iter().map(|key| key.source).collect();
    let (v4, v6): (Vec<_>, Vec<_>) = sources.into_iter().partition(|source| source.is_v4());
    let mut queries: Vec<_> = match v4.len() {
        ..=ONE_BY_ONE => v4.into_iter().map(Query::Source).collect(),
        _ => vec![Query::V4],
    };
    if !v6.is_empty() {
        queries.push(Query::V6);
    }
    queries
}

/// Whether an address is this host's. One that may be bound without being there counts as well: then what is forwarded
/// to it counts as its own.
fn is_own(address: Address) -> bool {
    UdpSocket::bind((IpAddr::from(address), 0)).is_ok()
}

/// Each question makes the kernel walk through its whole table.
const ONE_BY_ONE: usize = 16;
