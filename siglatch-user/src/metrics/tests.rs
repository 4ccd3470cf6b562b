use std::collections::BTreeSet;
use std::time::Duration;

use siglatch_common::lane::{Lane, PerLane};
use siglatch_common::outcome::{Counters, Outcome};
use siglatch_common::units::Wall;

use super::*;
use crate::gate::Refusal;

/// A snapshot in which every family has a sample.
fn sample() -> Snapshot {
    let histogram = Histogram::default();
    histogram.record(Duration::from_micros(300));
    histogram.record(Duration::from_secs(60));
    let lane = |lane| LaneFigures { waiting: 1, room: 862, operations: 10 + lane as u64 };
    Snapshot {
        version: "9.8.7",
        ingress: "xdp",
        started: Wall::from_secs(1_700_000_000),
        process: Process {
            resident: Some(20_000_000),
            descriptors: Some(40),
            descriptors_max: Some(1024),
            shortages: 3,
        },
        interfaces: vec![
            Interface { name: "eth\"0".to_owned(), mode: "native".to_owned(), attached: true },
            Interface { name: "wlan0".to_owned(), mode: "waiting".to_owned(), attached: false },
        ],
        frames: Counters::from_fn(|outcome| 100 + outcome as u64),
        lanes: PerLane::from_fn(lane),
        places: 16,
        places_taken: 3,
        admitted: 7,
        refused: std::array::from_fn(|at| at as u64),
        latency: histogram.read(),
        key_operations: std::array::from_fn(|_| histogram.read()),
        grants: 5,
        debts: 9,
        bans: vec![Ban { kind: "address", active: 3 }, Ban { kind: "network", active: 1 }],
        known: 6,
        programs: Programs { running: 1, waiting: 2, dropped: 3, fail: true },
        audit: Audit { waiting: 4, room: 16_384, lost: 1, fails: true },
        unheard: 8,
        reloads: Reloads { done: 2, failed: 1, last_failed: true, last_success: Wall::from_secs(1_700_000_100) },
        firewall_fails: false,
        state_fails: true,
    }
}

#[test]
fn every_number_is_told() {
    let text = Format::OpenMetrics.render(&sample());
    for line in [
        "siglatch_build_info{version=\"9.8.7\"} 1",
        "siglatch_ingress_info{mode=\"xdp\"} 1",
        "process_start_time_seconds 1700000000",
        "process_resident_memory_bytes 20000000",
        "process_open_fds 40",
        "process_max_fds 1024",
        "siglatch_config_reloads_total{result=\"failed\"} 1",
        "siglatch_config_last_reload_successful 0",
        "siglatch_config_last_reload_success_timestamp_seconds 1700000100",
        "siglatch_interface_attached{interface=\"eth\\\"0\",mode=\"native\"} 1",
        "siglatch_interface_attached{interface=\"wlan0\",mode=\"waiting\"} 0",
        "siglatch_packets_total{fate=\"passed\",outcome=\"not_ip\"} 100",
        "siglatch_lane_waiting{lane=\"stamped\"} 1",
        "siglatch_lane_capacity{lane=\"known\"} 862",
        "siglatch_key_operations_total{lane=\"unknown\"} 12",
        "siglatch_key_pool_places 16",
        "siglatch_key_pool_places_used 3",
        "siglatch_key_operation_duration_seconds_count{wire=\"clear\"} 2",
        "siglatch_knocks_total{result=\"admitted\"} 7",
        "siglatch_knock_duration_seconds_sum 60.0003",
        "siglatch_knock_duration_seconds_bucket{le=\"0.00025\"} 0",
        "siglatch_knock_duration_seconds_bucket{le=\"0.0005\"} 1",
        "siglatch_knock_duration_seconds_bucket{le=\"5.0\"} 1",
        "siglatch_knock_duration_seconds_bucket{le=\"+Inf\"} 2",
        "siglatch_grants_active 5",
        "siglatch_debts_owed 9",
        "siglatch_programs_running 1",
        "siglatch_programs_waiting 2",
        "siglatch_programs_dropped_total 3",
        "siglatch_bans_active{kind=\"network\"} 1",
        "siglatch_known_origins 6",
        "siglatch_warden_events_unheard_total 8",
        "siglatch_audit_records_waiting 4",
        "siglatch_audit_queue_capacity 16384",
        "siglatch_audit_records_lost_total 1",
        "siglatch_audit_failing 1",
        "siglatch_firewall_failing 0",
        "siglatch_state_failing 1",
    ] {
        assert!(text.lines().any(|told| told == line), "no {line} in:\n{text}");
    }
    for (refusal, count) in Refusal::ALL.iter().zip(0..) {
        let line = format!("siglatch_knocks_total{{result=\"refused\",reason=\"{}\"}} {count}\n", refusal.label());
        assert!(text.contains(&line), "no {line}");
    }
    assert!(text.ends_with("\n# EOF\n") && text.matches("# EOF").count() == 1);
}

#[test]
fn outcomes_of_lanes_are_one_outcome_with_a_label_for_the_lane() {
    let text = Format::OpenMetrics.render(&sample());
    let samples = text.lines().filter(|line| line.starts_with("siglatch_packets_total{"));
    assert_eq!(samples.count(), Outcome::ALL.len());
    for lane in Lane::ALL {
        for (outcome, fate, name) in [
            (Outcome::submitted(lane), "submitted", "submitted"),
            (Outcome::over_budget(lane), "refused", "over_budget"),
            (Outcome::ring_full(lane), "refused", "ring_full"),
        ] {
            let labels = format!("fate=\"{fate}\",outcome=\"{name}\",lane=\"{}\"", lane.label());
            let line = format!("siglatch_packets_total{{{labels}}} {}\n", 100 + outcome as u64);
            assert!(text.contains(&line), "no {line}");
        }
    }
}

#[test]
fn families_are_whole_and_come_once() {
    let text = Format::OpenMetrics.render(&sample());
    let mut families = BTreeSet::new();
    let mut family = ("", "");
    for line in text.lines() {
        let words: Vec<_> = line.splitn(4, ' ').collect();
        match words[..] {
            ["#", "HELP", name, help] => {
                assert!(families.insert(name), "{name} comes twice");
                assert!(help.ends_with('.') && !help.ends_with(".."), "{help}");
            }
            ["#", "TYPE", name, kind] => family = (name, kind),
            ["#", "EOF"] => {}
            _ => {
                let (name, kind) = family;
                let suffixes: &[&str] = match kind {
                    "counter" => &["_total"],
                    "info" => &["_info"],
                    "gauge" => &[""],
                    "histogram" => &["_bucket", "_sum", "_count"],
                    kind => panic!("{name} is a {kind}"),
                };
                let sample = line.split(['{', ' ']).next().unwrap();
                assert!(suffixes.iter().any(|suffix| sample == format!("{name}{suffix}")), "{line} in {name}");
            }
        }
    }
    assert!(families.iter().all(|name| name.starts_with("siglatch_") || name.starts_with("process_")));
}

#[test]
fn the_manual_names_every_family_and_no_other() {
    let text = Format::Plain.render(&sample());
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let told: BTreeSet<_> = types.filter_map(|line| line.split(' ').next()).collect();
    let manual = include_str!("../../../docs/metrics.md");
    let cells = manual.lines().filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
    // Names in backticks, with their labels behind them.
    let names = cells.flat_map(|cell| cell.split("`, `")).filter_map(|name| name.split(['{', '`']).next());
    let named: BTreeSet<_> = names.collect();
    assert_eq!(told, named);
}

#[test]
fn plain_text_has_the_same_samples_under_families_with_their_names() {
    let (open, plain) = (Format::OpenMetrics.render(&sample()), Format::Plain.render(&sample()));
    let samples =
        |text: &str| text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(samples(&open), samples(&plain));
    assert!(plain.contains(
        "# HELP siglatch_packets_total Frames by what became of them.\n# TYPE siglatch_packets_total counter\n"
    ));
    assert!(plain.contains("# TYPE siglatch_build_info gauge\n") && !plain.contains("EOF"));
}

#[test]
fn plain_text_goes_to_those_alone_who_take_nothing_else() {
    let prometheus = "application/openmetrics-text;version=1.0.0;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    for (accept, wanted) in [
        (None, Format::OpenMetrics),
        (Some("*/*"), Format::OpenMetrics),
        (Some(prometheus), Format::OpenMetrics),
        (Some("Text/Plain;version=0.0.4"), Format::Plain),
    ] {
        assert_eq!(Format::wanted(accept), wanted, "{accept:?}");
    }
}
