//! How much of a flood one core drops, beside nftables and xdp-filter under the same flood in the same run.
//! Never lets the flood out of its namespaces.

use std::fmt::Write as _;
use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use siglatch_tests::flood::{Flood, Junk, Limits, Source, core, receive_offload};
use siglatch_tests::netns::{DOOR, GATE, Street};
use siglatch_tests::raw_bpf::{Answer, Mode, Program, attach};
use siglatch_tests::scene::{GATEWAY, SEALED_PORT};

use super::filter::{BANS, Filter, SMALL, Strictness, banned};
use crate::figures::{Figure, Target, median};

/// Somebody who drops one kind of junk, in a street of his own.
struct Contender {
    name: &'static str,
    street: Street,
    junk: Junk,
    how: How,
    rates: Vec<f64>,
}

/// What drops. XDP programs are attached only while it is their turn: instances of xdp-filter share one folder of pins,
/// and the others have no advantage over them.
enum How {
    /// A program.
    Program(OwnedFd),
    /// Rules that are loaded.
    Nftables,
    /// The features that xdp-filter is loaded with, and what it is told then.
    XdpFilter { features: &'static str, rule: String },
}

/// Lets everybody drop in turns.
pub(super) fn figures(rounds: u32) -> Result<Vec<Figure>> {
    core::join()?;
    let filter = Filter::load(Strictness::OfSources, SMALL)?;
    let mut contenders = vec![
        Contender::program("empty_xdp", Program::empty(Answer::Drop)?.as_fd(), Junk::wrong_length())?,
        Contender::program("wrong_length", filter.descriptor()?, Junk::wrong_length())?,
        Contender::program("ban_hit", filter.descriptor()?, in_a_bans_name())?,
        Contender::nftables()?,
    ];
    match is_missing_xdp_filter() {
        None => contenders.extend(Contender::xdp_filters()?),
        Some(why) => eprintln!("no xdp-filter: {why}"),
    }
    // Many short turns: whatever else the machine does slows all alike.
    for _ in 0..rounds * TURNS {
        contenders.iter_mut().try_for_each(Contender::drop_for_a_while)?;
    }
    let rates: Vec<_> = contenders.into_iter().map(|contender| (contender.name, median(contender.rates))).collect();
    let of = |name: &str| rates.iter().find(|rate| rate.0 == name).map(|rate| rate.1);
    let empty = of("empty_xdp").context("the floor was not measured")?;
    let figure = |name: &str, value, floor, target| Figure {
        name: format!("flood.drops.{name}"),
        value,
        unit: "packets/s",
        floor,
        target,
    };
    let mut figures: Vec<_> = rates.iter().map(|(name, rate)| figure(name, *rate, empty, None)).collect();
    for (ours, theirs, least) in [
        ("ban_hit", "nftables", 1.0),
        ("ban_hit", "xdp_filter_address", LEVEL),
        ("wrong_length", "xdp_filter_port", LEVEL),
    ] {
        if let (Some(value), Some(floor)) = (of(ours), of(theirs)) {
            figures.push(figure(&format!("{ours}.{theirs}"), value, floor, Some(Target::RatioAtLeast(least))));
        }
    }
    Ok(figures)
}

impl Contender {
    fn program(name: &'static str, program: BorrowedFd<'_>, junk: Junk) -> Result<Self> {
        let how = How::Program(program.try_clone_to_owned()?);
        Ok(Self { name, street: quiet_street()?, junk, how, rates: Vec::new() })
    }

    /// The earliest place where nftables can drop, and a set of as many addresses as the blacklist has.
    fn nftables() -> Result<Self> {
        let street = quiet_street()?;
        receive_offload(&street.gateway, GATE, true)?;
        let mut rules = format!(
            "table netdev bench {{\n set banned {{ type ipv4_addr; }}\n chain early {{ type filter hook ingress device \
             \"{GATE}\" priority 0; ip saddr @banned counter drop; }}\n}}\nadd element netdev bench banned {{ "
        );
        for address in banned(BANS) {
            write!(rules, "{address}, ")?;
        }
        rules.push_str("}\n");
        let file = std::env::temp_dir().join(format!("{}.nft", street.gateway.name()));
        fs::write(&file, rules)?;
        let loaded = street.gateway.shell(&format!("nft -f {}", file.display()));
        fs::remove_file(&file)?;
        loaded?;
        Ok(Self { name: "nftables", street, junk: in_a_bans_name(), how: How::Nftables, rates: Vec::new() })
    }

    fn xdp_filters() -> Result<[Self; 2]> {
        let port = ("xdp_filter_port", Junk::wrong_length(), "udp", format!("port {SEALED_PORT} -p udp -m dst"));
        let address = ("xdp_filter_address", in_a_bans_name(), "ipv4", format!("ip {} -m src", Filter::BANNED));
        let [port, address] = [port, address].map(|(name, junk, features, rule)| {
            let street = quiet_street()?;
            // A line of the program's own, told apart from the rest by its name alone.
            Ok::<_, anyhow::Error>(Self {
                name,
                street,
                junk,
                how: How::XdpFilter { features, rule },
                rates: Vec::new(),
            })
        });
        Ok([port?, address?])
    }

    fn drop_for_a_while(&mut self) -> Result<()> {
        let gateway = &self.street.gateway;
        let rate = match &self.how {
            How::Nftables => self.measure(),
            How::Program(program) => {
                let _attached = attach(program.as_fd(), gateway, GATE, Mode::Native)?;
                self.measure()
            }
            How::XdpFilter { features, rule } => {
                gateway.shell(&format!("xdp-filter load {GATE} -m native -f {features} && xdp-filter {rule}"))?;
                let rate = self.measure();
                gateway.shell(&format!("xdp-filter unload {GATE}"))?;
                rate
            }
        };
        self.rates.push(rate.with_context(|| self.name)?);
        Ok(())
    }

    fn measure(&self) -> Result<f64> {
        let Street { gateway, outside } = &self.street;
        let witness = gateway.udp(SocketAddr::new(GATEWAY.of(true), SEALED_PORT))?;
        witness.set_nonblocking(true)?;
        let before = self.street.arrived()?;
        let sent = Flood::start(outside, DOOR, &self.junk, Limits::time(SPAN))?.finish()?;
        let arrived = self.street.arrived()? - before;
        ensure!(arrived >= sent.frames, "of {} frames only {arrived} arrived", sent.frames);
        let slipped = witness.recv(&mut [0; 1]);
        let nothing = slipped.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
        ensure!(nothing, "something was not dropped: {slipped:?}");
        Ok(sent.rate())
    }
}

fn quiet_street() -> Result<Street> {
    let street = Street::new()?;
    core::hush(&street)?;
    Ok(street)
}

/// Why xdp-filter cannot take part.
fn is_missing_xdp_filter() -> Option<String> {
    let is_there =
        ["/usr/sbin", "/usr/bin", "/sbin"].iter().any(|folder| Path::new(folder).join("xdp-filter").exists());
    if !is_there {
        return Some("apt-get install --no-install-recommends xdp-tools".into());
    }
    let pins = Path::new("/sys/fs/bpf/xdp-filter");
    pins.exists().then(|| format!("{} is in use", pins.display()))
}

/// Of the right length, from an address that is banned.
fn in_a_bans_name() -> Junk {
    Junk::forged().from(Source::Fixed(Filter::BANNED))
}

/// How long each flood lasts, and how many there are for each in a round.
const SPAN: Duration = Duration::from_millis(250);
const TURNS: u32 = 7;
/// As good as: runs differ by so much among themselves.
const LEVEL: f64 = 0.95;
