//! The way by which datagrams come in: the XDP program or sockets, from what can be made ready beforehand to the open
//! lanes. Never judges a datagram.

mod guard;
mod rule_setter;

use std::sync::Arc;

use anyhow::{Context as _, Result};
use siglatch_common::layout::PortRule;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tracing::warn;

use crate::admin;
use crate::config::{self, Ingress, KnockPort};
use crate::edge::audit::Recorder;
use crate::edge::lanes::{Lanes, Queues};
use crate::edge::lists::Lists;
use crate::edge::network::Network;
use crate::edge::socket::{Filter, Sockets};
use crate::edge::xdp::{self, Attached, Maps, Measures};

use guard::Guard;
pub(super) use rule_setter::{Prepared, RuleSetter};

/// What is ready, and disturbs nobody yet.
pub(super) enum Way {
    /// The program, accepted by the kernel and not attached.
    Xdp(config::Xdp, Box<xdp::Loaded>),
    /// The filter of the sockets, and where it puts what passes.
    Sockets(Filter, Measures, Arc<Queues>),
}

/// The way, open.
pub(super) struct Open {
    pub(super) lanes: Lanes,
    /// What the status says of it.
    pub(super) ingress: admin::Ingress,
    /// How it stands with each interface, as it changes.
    pub(super) interfaces: watch::Receiver<Vec<admin::Interface>>,
    /// By which ports, limits and interfaces are changed.
    pub(super) rules: RuleSetter,
}

impl Way {
    /// Makes ready what can be, while another daemon may still be at work.
    pub(super) async fn prepare(
        ingress: Ingress,
        ports: &[KnockPort],
        measures: Measures,
        network: &Network,
    ) -> Result<Self> {
        let rules = port_rules(ports);
        match ingress {
            Ingress::Xdp(xdp) => {
                let loaded = xdp::Loaded::new(&xdp, &rules, &measures, network).await?;
                Ok(Self::Xdp(xdp, Box::new(loaded)))
            }
            Ingress::Socket => {
                let queues = Arc::new(Queues::default());
                Ok(Self::Sockets(Filter::new(&rules, measures, Arc::clone(&queues)), measures, queues))
            }
        }
    }

    /// The lists that the filter goes by.
    pub(super) fn lists(&self) -> Result<Box<dyn Lists>> {
        match self {
            Self::Xdp(xdp, _) => Ok(Box::new(Maps::open(&xdp.pin_dir)?)),
            Self::Sockets(filter, ..) => Ok(Box::new(filter.clone())),
        }
    }

    /// Lets datagrams in. What must go on for that is spawned.
    pub(super) async fn open(
        self,
        ports: &[KnockPort],
        network: Network,
        recorder: Recorder,
        tasks: &mut JoinSet<Result<()>>,
    ) -> Result<Open> {
        let (seen, interfaces) = watch::channel(Vec::new());
        match self {
            Self::Xdp(xdp, loaded) => {
                let own = network.own_addresses().await?;
                let Attached { shield, candidates, rules, diagnostics, posts, news } =
                    loaded.attach(&xdp, &own, &network).await?;
                tasks.spawn(async { Ok(diagnostics.run().await?) });
                let (orders, ordered) = mpsc::channel(1);
                let guard = Guard { shield, posts, network, seen, recorder };
                guard.tell(news);
                tasks.spawn(guard.run(ordered));
                Ok(Open {
                    lanes: Lanes::Rings(Box::new(candidates)),
                    ingress: admin::Ingress::Xdp,
                    interfaces,
                    rules: RuleSetter::of_program(rules, orders),
                })
            }
            Self::Sockets(filter, measures, queues) => {
                let (mut sockets, listening) = Sockets::new(filter);
                let bound = sockets.bind(ports)?;
                sockets.adopt(ports, measures, bound);
                tasks.spawn(async move { listening.run().await.context("a knock socket") });
                for interface in xdp::attached(&config::Xdp::default()).unwrap_or_default() {
                    warn!(%interface, "an XDP program of siglatch is still attached and takes the knocks: siglatch-user --detach");
                }
                warn!("no XDP: junk costs a trip through the network stack, and the knock ports show in ss");
                Ok(Open {
                    lanes: Lanes::Queues(queues),
                    ingress: admin::Ingress::Socket,
                    interfaces,
                    rules: RuleSetter::of_sockets(sockets),
                })
            }
        }
    }
}

fn port_rules(ports: &[KnockPort]) -> Vec<PortRule> {
    ports.iter().map(|port| PortRule::new(port.port, port.wire)).collect()
}
