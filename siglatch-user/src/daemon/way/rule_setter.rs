//! Changes what the filter goes by while it is at work: first what can fail, then all of it at once. Never decides what the
//! rules are.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use tokio::sync::{mpsc, oneshot};

use super::guard::Order;
use super::port_rules;
use crate::config::KnockPort;
use crate::edge::socket::{Bound, Sockets};
use crate::edge::xdp::{LiveRules, Measures};

/// By which ports, limits and interfaces are changed, whatever the ingress.
pub(in crate::daemon) struct RuleSetter(Kind);

enum Kind {
    /// Written through a descriptor that is open already; and to whom interfaces are told.
    Program(Arc<Mutex<LiveRules>>, mpsc::Sender<Order>),
    Sockets(Sockets),
}

/// Rules that can be put in force. Dropped, they leave everything as it was.
pub(in crate::daemon) struct Prepared {
    ports: Vec<KnockPort>,
    measures: Measures,
    /// Of ports that are new.
    bound: Bound,
}

impl RuleSetter {
    pub(super) fn of_program(rules: LiveRules, orders: mpsc::Sender<Order>) -> Self {
        Self(Kind::Program(Arc::new(Mutex::new(rules)), orders))
    }

    pub(super) const fn of_sockets(sockets: Sockets) -> Self {
        Self(Kind::Sockets(sockets))
    }

    /// Does what can fail: binds the sockets of new ports, where there are sockets.
    ///
    /// # Errors
    /// Which port cannot be had, and why. Everything is as it was.
    pub(in crate::daemon) fn prepare(&self, ports: &[KnockPort], measures: Measures) -> Result<Prepared> {
        let bound = match &self.0 {
            Kind::Program(..) => Bound::default(),
            Kind::Sockets(sockets) => sockets.bind(ports)?,
        };
        Ok(Prepared { ports: ports.to_vec(), measures, bound })
    }

    /// Puts prepared rules in force, between two datagrams. When this returns, none is judged by the earlier ones.
    ///
    /// # Errors
    /// If the kernel takes no map update, which it has always done before. The earlier rules are in force then.
    pub(in crate::daemon) async fn commit(&mut self, prepared: Prepared) -> Result<()> {
        let Prepared { ports, measures, bound } = prepared;
        match &mut self.0 {
            Kind::Program(rules, _) => {
                let rules = Arc::clone(rules);
                // Waits for the CPUs, and nobody else shall.
                let set = move || {
                    let mut rules = rules.lock().unwrap_or_else(PoisonError::into_inner);
                    rules.set(&port_rules(&ports), &measures)
                };
                tokio::task::spawn_blocking(set).await?.context("the rules of the XDP program")
            }
            Kind::Sockets(sockets) => {
                sockets.adopt(&ports, measures, bound);
                // The tasks of closed sockets end when it is their turn.
                tokio::task::yield_now().await;
                Ok(())
            }
        }
    }

    /// Lets the program watch over these interfaces and no others. How it goes with each is told, as ever; there is nothing
    /// to do for sockets.
    ///
    /// # Errors
    /// If the kernel does not say what interfaces there are.
    pub(in crate::daemon) async fn set_interfaces(&self, interfaces: &[String]) -> Result<()> {
        let Kind::Program(_, orders) = &self.0 else { return Ok(()) };
        let (reply, done) = oneshot::channel();
        let order = Order { interfaces: interfaces.to_vec(), reply };
        orders.send(order).await.ok().context("nobody watches over the interfaces")?;
        done.await.context("nobody watches over the interfaces")?
    }
}
