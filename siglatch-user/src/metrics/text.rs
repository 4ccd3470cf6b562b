//! Every family: its name, its type, its help, and where in a [`Snapshot`] its numbers are. Never counts anything.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use siglatch_common::lane::Lane;
use siglatch_common::outcome::{Fate, Outcome};
use siglatch_common::wire::Wire;

use super::{BOUNDS, Distribution, Snapshot};
use crate::gate::Refusal;

/// The text, in OpenMetrics.
pub(super) fn render(snapshot: &Snapshot) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Families(snapshot.clone())));
    let mut text = String::with_capacity(ROOM);
    encode(&mut text, &registry).expect("a string takes whatever is written to it");
    text
}

#[derive(Debug)]
struct Families(Snapshot);

impl Collector for Families {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Self(snapshot) = self;
        let mut families = Encoder(encoder);
        process(&mut families, snapshot)?;
        filter(&mut families, snapshot)?;
        knocks(&mut families, snapshot)?;
        lists(&mut families, snapshot)?;
        upkeep(&mut families, snapshot)
    }
}

fn process(to: &mut Encoder<'_>, snapshot: &Snapshot) -> fmt::Result {
    let Snapshot { process, started, reloads, .. } = snapshot;
    let version = [("version", snapshot.version)];
    to.info("siglatch_build", "The version of siglatch", &version)?;
    to.info("siglatch_ingress", "Where datagrams come in", &[("mode", snapshot.ingress)])?;
    to.gauge("process_start_time_seconds", "When the daemon started, since the epoch", started.as_secs())?;
    if let Some(bytes) = process.resident {
        to.gauge("process_resident_memory_bytes", "Memory of the daemon", bytes)?;
    }
    if let Some(open) = process.descriptors {
        to.gauge("process_open_fds", "Descriptors that the daemon has open", open)?;
    }
    if let Some(most) = process.descriptors_max {
        to.gauge("process_max_fds", "Descriptors that the daemon may open", most)?;
    }
    to.counter(
        "siglatch_descriptor_shortages",
        "Times that no descriptor was left for operators, observers or scrapers",
        process.shortages,
    )?;
    let results = [("done", reloads.done), ("failed", reloads.failed)];
    to.counters(
        "siglatch_config_reloads",
        "Readings of the configuration since the start",
        results.map(|(result, count)| (vec![("result", result)], count)),
    )?;
    to.gauge(
        "siglatch_config_last_reload_successful",
        "Whether the last reading of the configuration took effect",
        u64::from(!reloads.last_failed),
    )?;
    to.gauge(
        "siglatch_config_last_reload_success_timestamp_seconds",
        "When the configuration that holds was read, since the epoch",
        reloads.last_success.as_secs(),
    )
}

fn filter(to: &mut Encoder<'_>, snapshot: &Snapshot) -> fmt::Result {
    let attached = snapshot
        .interfaces
        .iter()
        .map(|at| (vec![("interface", &*at.name), ("mode", &*at.mode)], u64::from(at.attached)));
    to.gauges(
        "siglatch_interface_attached",
        "Whether the XDP program is attached to an interface that it belongs to, and how, or why not",
        attached,
    )?;
    to.counters(
        "siglatch_packets",
        "Frames by what became of them",
        Outcome::ALL.map(|outcome| (packet_labels(outcome), snapshot.frames.of(outcome))),
    )?;
    let lane = |of: fn(&super::LaneFigures) -> u64| {
        Lane::ALL.map(|lane| (vec![("lane", lane.label())], of(snapshot.lanes.of(lane))))
    };
    to.gauges("siglatch_lane_waiting", "Datagrams that wait for the private key", lane(|figures| figures.waiting))?;
    to.gauges("siglatch_lane_capacity", "Datagrams that can wait for the private key", lane(|figures| figures.room))?;
    to.counters("siglatch_key_operations", "Uses of the private key", lane(|figures| figures.operations))
}

fn knocks(to: &mut Encoder<'_>, snapshot: &Snapshot) -> fmt::Result {
    to.gauge("siglatch_key_pool_places", "Datagrams that can be under way to the judge", snapshot.places)?;
    to.gauge("siglatch_key_pool_places_used", "Datagrams that are under way to the judge", snapshot.places_taken)?;
    let wires = Wire::ALL.iter().zip(&snapshot.key_operations);
    to.histograms(
        "siglatch_key_operation_duration_seconds",
        "How long opening a datagram took",
        wires.map(|(wire, distribution)| (vec![("wire", wire.label())], distribution)),
    )?;
    let admitted = (vec![("result", "admitted")], snapshot.admitted);
    let refused = Refusal::ALL.iter().zip(snapshot.refused);
    let refused = refused.map(|(refusal, count)| (vec![("result", "refused"), ("reason", refusal.label())], count));
    to.counters("siglatch_knocks", "Knocks by what the gate said", std::iter::once(admitted).chain(refused))?;
    to.histogram(
        "siglatch_knock_duration_seconds",
        "From the arrival of an admitted knock in the kernel to its effect",
        &snapshot.latency,
    )?;
    to.gauge("siglatch_grants_active", "Grants that are open", snapshot.grants)?;
    let programs = &snapshot.programs;
    to.gauge("siglatch_programs_running", "Programs that run", programs.running)?;
    to.gauge(
        "siglatch_programs_failing",
        "Whether no program can be started, because what starts them is gone",
        u64::from(programs.fail),
    )?;
    to.gauge("siglatch_programs_waiting", "Programs that wait for a place", programs.waiting)?;
    to.counter(
        "siglatch_programs_dropped",
        "Programs that were to tell of failures, and found no room",
        programs.dropped,
    )?;
    to.gauge("siglatch_debts_owed", "Programs that are still to be undone", snapshot.debts)
}

fn lists(to: &mut Encoder<'_>, snapshot: &Snapshot) -> fmt::Result {
    let bans = snapshot.bans.iter().map(|ban| (vec![("kind", ban.kind)], ban.active));
    to.gauges("siglatch_bans_active", "Bans that hold", bans)?;
    to.gauge("siglatch_known_origins", "Addresses and prefixes that authenticated lately", snapshot.known)?;
    to.counter(
        "siglatch_warden_events_unheard",
        "Events that found no room on their way to the warden",
        snapshot.unheard,
    )
}

fn upkeep(to: &mut Encoder<'_>, snapshot: &Snapshot) -> fmt::Result {
    let audit = &snapshot.audit;
    to.gauge("siglatch_audit_records_waiting", "Records that wait to be written", audit.waiting)?;
    to.gauge("siglatch_audit_queue_capacity", "Records that can wait to be written", audit.room)?;
    to.counter("siglatch_audit_records_lost", "Records that found no room", audit.lost)?;
    to.gauge("siglatch_audit_failing", "Whether the audit log cannot be written", u64::from(audit.fails))?;
    let (firewall, state) = (u64::from(snapshot.firewall_fails), u64::from(snapshot.state_fails));
    to.gauge("siglatch_firewall_failing", "Whether the firewall does not take what it should", firewall)?;
    to.gauge("siglatch_state_failing", "Whether knocks cannot be remembered, so that none does anything", state)
}

/// Lanes are a label of their own: budgets and rings are the same outcome in each.
fn packet_labels(outcome: Outcome) -> Vec<(&'static str, &'static str)> {
    let fate = match outcome.fate() {
        Fate::Pass => "passed",
        Fate::Drop if outcome.is_submitted() => "submitted",
        Fate::Drop => "refused",
    };
    let label = outcome.label();
    let in_lane =
        Lane::ALL.into_iter().find_map(|lane| Some((label.strip_suffix(lane.label())?.strip_suffix('_')?, lane)));
    match in_lane {
        Some((name, lane)) => vec![("fate", fate), ("outcome", name), ("lane", lane.label())],
        None => vec![("fate", fate), ("outcome", label)],
    }
}

/// Writes families. A family without samples is written all the same, so that whoever looks sees that it exists.
struct Encoder<'a>(DescriptorEncoder<'a>);

type Labels<'a> = Vec<(&'static str, &'a str)>;

impl Encoder<'_> {
    fn family(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        samples: impl FnOnce(MetricEncoder<'_>) -> fmt::Result,
    ) -> fmt::Result {
        samples(self.0.encode_descriptor(name, &format!("{help}."), None, kind)?)
    }

    fn info(&mut self, name: &str, help: &str, labels: &[(&'static str, &'static str)]) -> fmt::Result {
        self.family(name, help, MetricType::Info, |mut sample| sample.encode_info(&labels))
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.family(name, help, MetricType::Gauge, |mut sample| sample.encode_gauge(&Whole(value)))
    }

    fn gauges<'a>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'a>, u64)>,
    ) -> fmt::Result {
        self.family(name, help, MetricType::Gauge, |mut family| {
            samples
                .into_iter()
                .try_for_each(|(labels, value)| family.encode_family(&labels)?.encode_gauge(&Whole(value)))
        })
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.family(name, help, MetricType::Counter, |mut sample| count(&mut sample, value))
    }

    fn counters<'a>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'a>, u64)>,
    ) -> fmt::Result {
        self.family(name, help, MetricType::Counter, |mut family| {
            samples.into_iter().try_for_each(|(labels, value)| count(&mut family.encode_family(&labels)?, value))
        })
    }

    fn histogram(&mut self, name: &str, help: &str, distribution: &Distribution) -> fmt::Result {
        self.family(name, help, MetricType::Histogram, |mut sample| distribute(&mut sample, distribution))
    }

    fn histograms<'a>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'a>, &'a Distribution)>,
    ) -> fmt::Result {
        self.family(name, help, MetricType::Histogram, |mut family| {
            samples
                .into_iter()
                .try_for_each(|(labels, distribution)| distribute(&mut family.encode_family(&labels)?, distribution))
        })
    }
}

fn count(sample: &mut MetricEncoder<'_>, value: u64) -> fmt::Result {
    sample.encode_counter::<NoLabelSet, _, u64>(&value, None)
}

fn distribute(sample: &mut MetricEncoder<'_>, distribution: &Distribution) -> fmt::Result {
    let bounds = BOUNDS.iter().map(|bound| *bound as f64 / NANOS).chain([f64::INFINITY]);
    let buckets: Vec<_> = bounds.zip(distribution.buckets).collect();
    sample.encode_histogram::<NoLabelSet>(distribution.nanos as f64 / NANOS, distribution.count(), &buckets, None)
}

/// A gauge without a fraction.
struct Whole(u64);

impl EncodeGaugeValue for Whole {
    fn encode(&self, encoder: &mut prometheus_client::encoding::GaugeValueEncoder<'_>) -> fmt::Result {
        i64::try_from(self.0).unwrap_or(i64::MAX).encode(encoder)
    }
}

/// A second.
const NANOS: f64 = 1e9;
/// So that the text is rarely moved while it grows.
const ROOM: usize = 32 * 1024;
