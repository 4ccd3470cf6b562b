//! The way by which datagrams come in: the XDP program or sockets, from what can be made ready beforehand to the open
//! lanes. Never judges a datagram.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use siglatch_common::layout::PortRule;
use tokio::task::JoinSet;
use tracing::{debug, warn};

use crate::admin;
use crate::config::{self, Ingress, KnockPort};
use crate::edge::lanes::{Lanes, Queues};
use crate::edge::lists::Lists;
use crate::edge::network::Network;
use crate::edge::socket::{Filter, KnockSocket};
use crate::edge::xdp::{self, Attached, Maps, Mode, Shield};

/// What is ready, and disturbs nobody yet.
pub(super) enum Way {
    /// The program, accepted by the kernel and not attached.
    Xdp(config::Xdp, Box<xdp::Loaded>),
    /// The filter of the sockets, and where it puts what passes.
    Sockets(Filter, Arc<Queues>),
}

/// The way, open.
pub(super) struct Open {
    pub(super) lanes: Lanes,
    /// What the status says of it.
    pub(super) ingress: admin::Ingress,
    pub(super) interfaces: Vec<admin::Interface>,
}

impl Way {
    /// Makes ready what can be, while another daemon may still be at work.
    pub(super) async fn prepare(
        ingress: Ingress,
        ports: &[KnockPort],
        measures: xdp::Measures,
        network: &Network,
    ) -> Result<Self> {
        match ingress {
            Ingress::Xdp(xdp) => {
                let rules: Vec<_> = ports.iter().map(|port| PortRule::new(port.port, port.wire)).collect();
                let loaded = xdp::Loaded::new(&xdp, &rules, &measures, network).await?;
                Ok(Self::Xdp(xdp, Box::new(loaded)))
            }
            Ingress::Socket => {
                let queues = Arc::new(Queues::default());
                Ok(Self::Sockets(Filter::new(measures, Arc::clone(&queues)), queues))
            }
        }
    }

    /// The knock ports that the firewall closes, in case the program is detached one day.
    pub(super) fn closed_ports(&self, ports: &[KnockPort]) -> Vec<u16> {
        match self {
            Self::Xdp(..) => ports.iter().map(|port| port.port).collect(),
            Self::Sockets(..) => Vec::new(),
        }
    }

    /// The lists that the filter goes by.
    pub(super) fn lists(&self) -> Result<Box<dyn Lists>> {
        match self {
            Self::Xdp(xdp, _) => Ok(Box::new(Maps::open(&xdp.pin_dir)?)),
            Self::Sockets(filter, _) => Ok(Box::new(filter.clone())),
        }
    }

    /// Lets datagrams in. What must go on for that is spawned.
    pub(super) async fn open(
        self,
        ports: &[KnockPort],
        network: Network,
        tasks: &mut JoinSet<Result<()>>,
    ) -> Result<Open> {
        match self {
            Self::Xdp(xdp, loaded) => {
                let own = network.own_addresses().await?;
                let Attached { shield, candidates, rules: _, diagnostics, interfaces, program } =
                    loaded.attach(&xdp, &own, &network).await?;
                tasks.spawn(async { Ok(diagnostics.run().await?) });
                tasks.spawn(mind_shield(shield, network));
                let at =
                    |(name, mode): (String, Mode)| admin::Interface { name, mode: mode.label().to_owned(), program };
                Ok(Open {
                    lanes: Lanes::Rings(Box::new(candidates)),
                    ingress: admin::Ingress::Xdp,
                    interfaces: interfaces.into_iter().map(at).collect(),
                })
            }
            Self::Sockets(filter, queues) => {
                for port in ports {
                    for socket in KnockSocket::open(*port, &filter)? {
                        tasks.spawn(async move { socket.listen().await.context("a knock socket") });
                    }
                }
                for interface in xdp::attached(&config::Xdp::default()).unwrap_or_default() {
                    warn!(%interface, "an XDP program of siglatch is still attached and takes the knocks: siglatch-user --detach");
                }
                warn!("no XDP: junk costs a trip through the network stack, and the knock ports show in ss");
                Ok(Open { lanes: Lanes::Queues(queues), ingress: admin::Ingress::Socket, interfaces: Vec::new() })
            }
        }
    }
}

/// Keeps the filter's list of this host's addresses true.
async fn mind_shield(mut shield: Shield, mut network: Network) -> Result<()> {
    loop {
        network.changed().await?;
        let own = network.own_addresses().await?;
        shield.set_own_addresses(&own)?;
        debug!(addresses = own.len(), "this host's addresses have changed");
    }
}
