//! `siglatchctl status`: how the daemon is, at one glance. Never changes anything.

use clap::Args;

use super::load::Failure;
use super::reach::Reach;
use super::show::{self, Side, Table};
use crate::admin::protocol::Request;
use crate::admin::{AuditState, Configuration, Ingress, LaneStatus, Programs, Status, Switch};
use crate::edge::clock;

/// Show how the daemon is: what comes in, what becomes of it, and what it costs.
///
/// Rates are means of the last second or so.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  siglatchctl status\n  siglatchctl status --json | jq .lanes")]
pub(super) struct ShowStatus {
    /// One JSON object, for programs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: Reach,
}

impl ShowStatus {
    pub(super) fn run(self) -> Result<(), Failure> {
        let Self { json, daemon } = self;
        let status: Status = daemon.connect()?.ask(&Request::Status {})?;
        show::print(&if json { format!("{}\n", serde_json::to_string(&status)?) } else { text(&status) })
    }
}

/// The whole status, with an empty line between its parts.
fn text(status: &Status) -> String {
    let mut parts = vec![head(status), frames(status), lanes(status)];
    parts.extend(knocks(status));
    parts.extend(refused(status));
    parts.push(lists(status));
    parts.extend(configuration(status));
    parts.join("\n")
}

/// What it is, what it holds, and what it may do.
fn head(status: &Status) -> String {
    let privileges = status.privileges.as_ref().map(|privileges| format!("privileges: {privileges}\n"));
    format!("{}\n{}\n{}", headline(status), standing(status), privileges.unwrap_or_default())
}

/// Version, uptime, interfaces, ports.
pub(super) fn headline(status: &Status) -> String {
    let ingress = match status.ingress {
        Ingress::Xdp if status.interfaces.is_empty() => "XDP, on no interface".to_owned(),
        Ingress::Xdp => {
            let each = status.interfaces.iter();
            let each = each.map(|at| match at.program {
                0 => format!("{} {}", at.name, at.mode),
                program => format!("{} {} (program {program})", at.name, at.mode),
            });
            format!("XDP on {}", each.collect::<Vec<_>>().join(", "))
        }
        Ingress::Socket => "plain sockets, no XDP".to_owned(),
    };
    let ports: Vec<_> = status.ports.iter().map(|port| format!("{} {}", port.port, port.wire)).collect();
    let ports = ports.join(", ");
    format!("siglatch {}, up {}; {ingress}; ports {ports}", status.version, show::span(status.uptime))
}

/// How many of each kind there are.
pub(super) fn standing(status: &Status) -> String {
    let Status { bans, known, grants, lists, programs, debts, .. } = status;
    let number = |number: u64, one: &str, many: &str| {
        format!("{} {}", show::grouped(number), if number == 1 { one } else { many })
    };
    let Programs { running, waiting, failing: _ } = programs;
    let more = [
        (*running > 0).then(|| number(*running, "program runs", "programs run")),
        (*waiting > 0).then(|| number(*waiting, "program waits", "programs wait")),
        (*debts > 0).then(|| format!("{} to be undone", show::grouped(*debts))),
    ];
    let more: String = more.into_iter().flatten().map(|more| format!(", {more}")).collect();
    format!(
        "{}, {}, {}{more}; {} for lists",
        number(*bans, "ban", "bans"),
        number(*known, "known source", "known sources"),
        number(*grants, "grant", "grants"),
        show::bytes(lists.bytes)
    )
}

/// What the daemon goes by, and what an operator should look after; nothing if there is nothing to say.
fn configuration(status: &Status) -> Option<String> {
    let Configuration { file, loaded, at_next_start, switches, switched_off, dry_run } = &status.configuration;
    let AuditState { failing, lost, missed, forbidden } = &status.audit;
    let now = clock::now().wall;
    let mut lines = Vec::new();
    if !file.is_empty() {
        let ago = show::span(now.as_secs().saturating_sub(*loaded));
        lines.push(if *loaded == 0 { format!("goes by {file}") } else { format!("goes by {file}, read {ago} ago") });
    }
    if *dry_run {
        lines.push("DRY RUN: everything is judged and told, and nothing done".to_owned());
    }
    if !at_next_start.is_empty() {
        lines.push(format!("from the next start on: {}", at_next_start.join(", ")));
    }
    for Switch { target, until } in switches {
        lines.push(format!("{} {}: {}", target.kind.label(), target.name, show::state(false, *until, now)));
    }
    if *switched_off > switches.len() {
        lines.push(format!("{} are off in all", show::grouped(*switched_off as u64)));
    }
    if status.programs.failing {
        lines.push("NO PROGRAM CAN BE STARTED, for what starts them is gone: the daemon's log says why".to_owned());
    }
    if *failing {
        lines.push("THE AUDIT LOG IS NOT WRITTEN: the daemon's log says why".to_owned());
    }
    for (count, what) in [
        (lost, "records of the audit log were lost"),
        (missed, "events were missed by observers"),
        (forbidden, "requests were refused: whoever asked may not"),
    ] {
        if *count > 0 {
            lines.push(format!("{} {what}", show::grouped(*count)));
        }
    }
    (!lines.is_empty()).then(|| lines.into_iter().map(|line| format!("{line}\n")).collect())
}

fn frames(status: &Status) -> String {
    let mut table =
        Table::new([("FRAMES", Side::Left), ("A SECOND", Side::Right), ("TOTAL", Side::Right), ("", Side::Left)]);
    for frames in status.frames.iter().filter(|frames| frames.count.total > 0) {
        let fate = if frames.passed { "passed on" } else { "" };
        let rate = show::short(frames.count.per_second);
        table.push([frames.outcome.clone(), rate, show::grouped(frames.count.total), fate.to_owned()]);
    }
    if table.is_empty() { "no frames yet\n".to_owned() } else { table.text() }
}

fn lanes(status: &Status) -> String {
    let mut table = Table::new([
        ("LANE", Side::Left),
        ("IN/S", Side::Right),
        ("BUDGET", Side::Right),
        ("OVER/S", Side::Right),
        ("FULL/S", Side::Right),
        ("WAITING", Side::Right),
        ("ROOM", Side::Right),
        ("KEY OPS/S", Side::Right),
        ("SHARE", Side::Right),
    ]);
    for lane in &status.lanes {
        table.push([
            lane.lane.clone(),
            show::short(lane.submitted.per_second),
            budget(lane),
            show::short(lane.over_budget.per_second),
            show::short(lane.ring_full.per_second),
            lane.waiting.to_string(),
            lane.room.to_string(),
            show::short(lane.operations.per_second),
            format!("{} %", lane.share),
        ]);
    }
    table.text()
}

/// The budget of a lane.
pub(super) fn budget(lane: &LaneStatus) -> String {
    if lane.budget == 0 { "none".to_owned() } else { lane.budget.to_string() }
}

fn knocks(status: &Status) -> Option<String> {
    let mut table = Table::new([("KNOCKS", Side::Left), ("A SECOND", Side::Right), ("TOTAL", Side::Right)]);
    let refused = status.knocks.refused.iter().map(|refused| (refused.reason.as_str(), refused.count));
    for (name, count) in std::iter::once(("admitted", status.knocks.admitted)).chain(refused) {
        if count.total > 0 {
            table.push([name.to_owned(), show::short(count.per_second), show::grouped(count.total)]);
        }
    }
    (!table.is_empty()).then(|| table.text())
}

fn refused(status: &Status) -> Option<String> {
    let mut table = Table::new([
        ("REFUSED MOST", Side::Left),
        ("AS", Side::Left),
        ("A SECOND", Side::Right),
        ("ABOUT", Side::Right),
    ]);
    for source in &status.refused_sources {
        table.push([
            source.address.clone(),
            source.reason.clone(),
            show::short(source.frames.per_second),
            show::grouped(source.frames.total),
        ]);
    }
    (!table.is_empty()).then(|| table.text())
}

fn lists(status: &Status) -> String {
    let mut table =
        Table::new([("LIST", Side::Left), ("USED", Side::Right), ("ROOM", Side::Right), ("MEMORY", Side::Right)]);
    for list in &status.lists.each {
        let used = list.used.map_or_else(|| "-".to_owned(), show::grouped);
        table.push([list.name.clone(), used, show::grouped(list.room), show::bytes(list.bytes)]);
    }
    table.push(["all".to_owned(), String::new(), String::new(), show::bytes(status.lists.bytes)]);
    table.text()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::admin::{
        Count, Frames, Interface, KnockCounts, ListStatus, Lists, Port, Privileges, Refused, RefusedSource,
    };

    /// A daemon under flood.
    pub(in crate::ctl) fn flooded() -> Status {
        let count = |total, per_second| Count { total, per_second };
        let frames = |outcome: &str, passed, total, per_second| Frames {
            outcome: outcome.to_owned(),
            passed,
            count: count(total, per_second),
        };
        let lane = |lane: &str, budget, share, submitted, over, waiting| LaneStatus {
            lane: lane.to_owned(),
            budget,
            share,
            submitted: count(9000, submitted),
            over_budget: count(88_000_000, over),
            ring_full: count(0, 0.0),
            waiting,
            room: 862,
            operations: count(9000, submitted),
        };
        let list = |name: &str, used, room, bytes| ListStatus { name: name.to_owned(), used, room, bytes };
        Status {
            version: "0.1.0".to_owned(),
            uptime: 273_600,
            privileges: Some(Privileges {
                user: "siglatch".to_owned(),
                capabilities: "net_admin".to_owned(),
                seccomp: true,
                landlock: Some(7),
                memory: "locked".to_owned(),
            }),
            ingress: Ingress::Xdp,
            interfaces: vec![Interface { name: "eth0".to_owned(), mode: "native".to_owned(), program: 117 }],
            ports: vec![
                Port { port: 62201, wire: "stamped".to_owned() },
                Port { port: 62202, wire: "sealed".to_owned() },
            ],
            interval: 1.0,
            frames: vec![
                frames("other_port", true, 1_204_551, 312.4),
                frames("routed", true, 0, 0.0),
                frames("wrong_length", false, 901_223_111, 1_912_004.0),
                frames("over_rate", false, 90_312, 212.0),
                frames("over_budget_unknown", false, 88_000_000, 250_331.0),
                frames("submitted_stamped", false, 9000, 10.0),
                frames("submitted_unknown", false, 9000, 400.0),
            ],
            lanes: vec![
                lane("stamped", 2000, 20, 10.0, 0.0, 0),
                lane("known", 0, 20, 0.5, 0.0, 1),
                lane("unknown", 400, 5, 400.0, 250_331.0, 760),
            ],
            refused_sources: vec![
                RefusedSource {
                    address: "2001:db8:85a3:1234:5678:8a2e:370:7334".to_owned(),
                    reason: "wrong_length".to_owned(),
                    frames: count(901_223_040, 1_912_000.0),
                },
                RefusedSource {
                    address: "203.0.113.9".to_owned(),
                    reason: "over_rate".to_owned(),
                    frames: count(90_304, 192.0),
                },
            ],
            lists: Lists {
                each: vec![
                    list("blacklist", Some(3), 65_536, 5_247_488),
                    list("buckets", None, 65_536, 524_768),
                    list("lane_unknown", Some(229_376), 262_144, 274_680),
                ],
                bytes: 12_897_280,
            },
            bans: 3,
            known: 1,
            grants: 0,
            knocks: KnockCounts {
                admitted: count(8_400, 10.0),
                refused: vec![
                    Refused { reason: "unauthentic".to_owned(), count: count(612, 390.0) },
                    Refused { reason: "replay".to_owned(), count: count(0, 0.0) },
                ],
            },
            ..Status::default()
        }
    }

    #[test]
    fn a_status_is_read_at_a_glance() {
        let expected = "\
siglatch 0.1.0, up 3d4h; XDP on eth0 native (program 117); ports 62201 stamped, 62202 sealed
3 bans, 1 known source, 0 grants; 12.3 MiB for lists
privileges: user=siglatch caps=net_admin seccomp=on landlock=abi 7 memory=locked

FRAMES               A SECOND        TOTAL
other_port                312    1,204,551  passed on
wrong_length             1.9M  901,223,111
over_rate                 212       90,312
over_budget_unknown      250k   88,000,000
submitted_stamped          10        9,000
submitted_unknown         400        9,000

LANE     IN/S  BUDGET  OVER/S  FULL/S  WAITING  ROOM  KEY OPS/S  SHARE
stamped    10    2000       0       0        0   862         10   20 %
known     0.5    none       0       0        1   862        0.5   20 %
unknown   400     400    250k       0      760   862        400    5 %

KNOCKS       A SECOND  TOTAL
admitted           10  8,400
unauthentic       390    612

REFUSED MOST                           AS            A SECOND        ABOUT
2001:db8:85a3:1234:5678:8a2e:370:7334  wrong_length      1.9M  901,223,040
203.0.113.9                            over_rate          192       90,304

LIST             USED     ROOM    MEMORY
blacklist           3   65,536   5.0 MiB
buckets             -   65,536   512 KiB
lane_unknown  229,376  262,144   268 KiB
all                             12.3 MiB
";
        assert_eq!(text(&flooded()), expected);
    }

    #[test]
    fn what_an_operator_should_look_after_stands_at_the_end() {
        use crate::admin::{SwitchKind, SwitchTarget};
        let target = SwitchTarget { kind: SwitchKind::User, name: "alice".to_owned() };
        let configuration = Configuration {
            file: "/etc/siglatch/siglatch.toml".to_owned(),
            at_next_start: vec!["state.dir".to_owned()],
            switches: vec![Switch { target, until: None }],
            switched_off: 300,
            ..Configuration::default()
        };
        let audit = AuditState { failing: true, lost: 1200, missed: 0, forbidden: 3 };
        let programs = Programs { running: 1, waiting: 2, failing: true };
        let status = Status { configuration, audit, programs, debts: 4, ..Status::default() };
        let text = text(&status);
        assert!(text.ends_with(
            "\ngoes by /etc/siglatch/siglatch.toml\nfrom the next start on: state.dir\nuser alice: off\n300 are off in all\n\
             NO PROGRAM CAN BE STARTED, for what starts them is gone: the daemon's log says why\n\
             THE AUDIT LOG IS NOT WRITTEN: the daemon's log says why\n1,200 records of the audit log were lost\n\
             3 requests were refused: whoever asked may not\n"
        ), "{text}");
        assert!(text.contains("0 grants, 1 program runs, 2 programs wait, 4 to be undone; "), "{text}");
    }

    #[test]
    fn a_daemon_that_has_just_started_has_little_to_say() {
        let status = Status { ingress: Ingress::Socket, ..Status::default() };
        let text = text(&status);
        assert!(text.contains("plain sockets, no XDP") && text.contains("no frames yet"), "{text}");
        assert!(!text.contains("REFUSED MOST") && !text.contains("KNOCKS"), "{text}");
    }
}
