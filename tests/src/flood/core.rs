//! Which core a flood is sent from, and who else is there. Never sends.
//!
//! A veth hands frames over on the core that sends them, and has 256 places for what the other end has not taken yet. As
//! long as all who send into a cable are on one core, each frame is taken before the next ones come, and none is lost. As
//! soon as somebody sends from another core, that one may take over the taking, and the generator outruns it: then the
//! cable loses frames, honest ones too, and a test would show what a cable carries and not what a gateway does.

use anyhow::{Context as _, Result};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::netns::{CLIENT, DOOR, GATE, Street, colons};
use crate::packet::Link;
use crate::scene::GATEWAY;

/// Puts the calling thread, and what it starts from now on, on the generator's core: everybody who sends into the cable
/// belongs there.
///
/// # Errors
/// If the kernel does not let it go there.
pub fn join() -> Result<()> {
    Ok(sched_setaffinity(None, &only(generators()?))?)
}

/// Does something on any core, such as starting the process that is to be flooded; and comes back.
///
/// # Errors
/// If the kernel does not let it go there, and as `work` does.
pub fn apart<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    let before = sched_getaffinity(None)?;
    let mut all = CpuSet::new();
    // What is not there is left out by the kernel.
    (0..CpuSet::MAX_CPU).for_each(|cpu| all.set(cpu));
    sched_setaffinity(None, &all)?;
    let done = work();
    sched_setaffinity(None, &before)?;
    done
}

/// Lets nothing cross the cable of a street by itself: the kernel asks for neighbours and routers when it likes, and
/// from any core. Of the neighbours, only [`CLIENT`] can be reached then; everybody else must be routed by way of it.
///
/// # Errors
/// If the kernel does not let it be so.
pub fn hush(street: &Street) -> Result<()> {
    let Link { to, from } = Link::DEFAULT;
    for (namespace, interface, other, mac) in
        [(&street.gateway, GATE, CLIENT.v4, from), (&street.outside, DOOR, GATEWAY.v4, to)]
    {
        namespace.shell("echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6")?;
        namespace.ip(&format!("neigh replace {other} lladdr {} nud permanent dev {interface}", colons(mac)))?;
    }
    Ok(())
}

/// The last one that this process may use: the first ones remain for those who are flooded.
fn generators() -> Result<usize> {
    let allowed = sched_getaffinity(None)?;
    (0..CpuSet::MAX_CPU).rev().find(|cpu| allowed.is_set(*cpu)).context("no core at all")
}

fn only(cpu: usize) -> CpuSet {
    let mut set = CpuSet::new();
    set.set(cpu);
    set
}
