//! What has changed between two texts, by value: every key once.

use std::collections::BTreeSet;

use super::*;

/// A key of the schema, what is taken out of the annotated file, what is put there, and what is told of it.
type Case = (&'static str, &'static str, &'static str, &'static [&'static str]);

const CASES: &[Case] = &[
    ("[gateway] name", "name = \"gateway\"", "name = \"gate\"", &["[gateway] name: gateway → gate"]),
    ("[gateway] host", "\"gw.example.org\"", "\"192.0.2.1\"", &["[gateway] host: gw.example.org → 192.0.2.1"]),
    (
        "[gateway] time_zone",
        "time_zone = \"UTC\"",
        "time_zone = \"Europe/Berlin\"",
        &["action intranet changed: hours"],
    ),
    ("[ingress] mode", "mode = \"xdp\"", "mode = \"socket\"", &[HELD]),
    ("[ingress] interfaces", "[\"eth0\"]", "[\"eth0\", \"eth1\"]", &["interface eth1 added"]),
    ("[ingress] attach", "attach = \"auto\"", "attach = \"native\"", &[HELD]),
    ("[ingress] pin_dir", "fs/bpf/siglatch\"", "fs/bpf/b\"", &[HELD]),
    (
        "[ingress] diagnostics",
        "diagnostics = \"off\"",
        "diagnostics = \"drops\"",
        &["[ingress] diagnostics: off → drops"],
    ),
    ("[[port]] port", "port = 62202", "port = 62203", &["port 62202 removed", "port 62203 added"]),
    ("[[port]] wire", "wire = \"sealed\"", "wire = \"stamped\"", &["port 62202: sealed → stamped"]),
    (
        "[[gate_key]] number",
        "number = 0 ",
        "number = 1 ",
        &["gate key 0 removed", "gate key 1 added", "gate key for new clients: 0 → 1"],
    ),
    ("[[gate_key]] file", "\"keys/gate-0.key\"", "\"gate-1.key\"", &["gate key 0 changed"]),
    ("[keys] server", "server = \"server.key\"", "server = \"other.key\"", &["server key changed"]),
    (
        "[keys] threads",
        "# threads = 2",
        "threads = 4",
        &[
            "[lane.stamped] budget: 3000 → 4000",
            "[lane.known] budget: 3000 → 4000",
            "[lane.unknown] budget: 600 → 800",
            HELD,
        ],
    ),
    ("[knock] max_skew", "max_skew = \"60s\"", "max_skew = \"30s\"", &["[knock] max_skew: 1m → 30s"]),
    ("[state] dir", "dir = \"/var/lib/siglatch\"", "dir = \"/srv\"", &[HELD]),
    ("[state] nonces", "1_000_000 ", "2_000_000 ", &["[state] nonces: 1000000 → 2000000"]),
    ("[limits] rate", "rate = 10 ", "rate = 20 ", &["[limits] rate: 10 → 20"]),
    ("[limits] burst", "burst = 20 ", "burst = 30 ", &["[limits] burst: 20 → 30"]),
    ("[limits] sources", "sources = 65_536", "sources = 1024", &[HELD]),
    ("[limits] copies", "copies = 65_536", "copies = 0", &[HELD]),
    (
        "[lane.stamped] budget",
        "# budget = 2_000                    # 0",
        "budget = 7 # 0",
        &["[lane.stamped] budget: 3000 → 7"],
    ),
    (
        "[lane.stamped] share",
        "share = 20                          # 0",
        "share = 7 # 0",
        &["[lane.stamped] share: 20 → 7"],
    ),
    ("[lane.stamped] ring", "ring = 256                          # 64", "ring = 64 # 64", &[HELD]),
    (
        "[lane.known] budget",
        "[lane.known]\n# budget = 2_000",
        "[lane.known]\nbudget = 7",
        &["[lane.known] budget: 3000 → 7"],
    ),
    (
        "[lane.known] share",
        "[lane.known]\n# budget = 2_000                    # default: 1,000 for each of the [keys] threads\nshare = 20",
        "[lane.known]\nshare = 7",
        &["[lane.known] share: 20 → 7"],
    ),
    (
        "[lane.known] ring",
        "ring = 256                          # default\n\n[lane.unknown]",
        "ring = 64\n[lane.unknown]",
        &[HELD],
    ),
    ("[lane.unknown] budget", "# budget = 400", "budget = 7", &["[lane.unknown] budget: 600 → 7"]),
    ("[lane.unknown] share", "share = 5 ", "share = 7 ", &["[lane.unknown] share: 5 → 7"]),
    ("[lane.unknown] ring", "share = 5                           # default\nring = 256", "ring = 64", &[HELD]),
    ("[known] for", "for = \"30d\"", "for = \"1h\"", &["[known] for: 30d → 1h"]),
    ("[known] capacity", "capacity = 16_384", "capacity = 99", &[HELD]),
    (
        "[allow] networks",
        "networks = []                       # default: none",
        "networks = [\"10.0.0.0/8\"] # none",
        &["allowed network 10.0.0.0/8 added"],
    ),
    ("[ban] strikes", "strikes = 5", "strikes = 7", &["[ban] strikes: 5 → 7"]),
    ("[ban] within", "within = \"10m\"", "within = \"1h\"", &["[ban] within: 10m → 1h"]),
    ("[ban] steps", "[\"10m\", \"1h\", \"24h\"]", "[\"5m\", \"90m\"]", &["[ban] steps: 10m, 1h, 1d → 5m, 90m"]),
    ("[ban] forget", "forget = \"24h\"", "forget = \"2d\"", &["[ban] forget: 1d → 2d"]),
    ("[ban] flood", "flood = 1_000", "flood = 700", &["[ban] flood: 1000 → 700"]),
    ("[ban] scope", "scope = \"knock\"", "scope = \"host\"", &["[ban] scope: knock → host"]),
    ("[ban] capacity", "capacity = 65_536", "capacity = 99", &[HELD]),
    ("[blacklist] files", "files = []", "files = [\"b.txt\"]", &["blacklist file /etc/siglatch/b.txt added"]),
    ("[admin] socket", "socket = \"/run/siglatch/admin.sock\"", "socket = \"/run/a.sock\"", &[HELD]),
    ("[admin] operators", "operators = []", "operators = [\"carol\"]", &["operator user 1000 added"]),
    ("[admin] observers", "observers = []", "observers = [\"@adm\"]", &["observer group 4 added"]),
    ("[admin] observer_socket", "# observer_socket", "observer_socket", &[HELD]),
    ("[metrics] listen", "# listen", "listen", &[HELD]),
    ("[daemon] user", "# user = \"siglatch\"", "user = \"gate\"", &[HELD]),
    (
        "[daemon] reload_on_change",
        "reload_on_change = false",
        "reload_on_change = true",
        &["[daemon] reload_on_change: false → true"],
    ),
    ("[audit] enabled", "enabled = true                      # default\nfile", "enabled = false\nfile", &[HELD]),
    ("[audit] file", "audit.jsonl\"", "a.jsonl\"", &[HELD]),
    ("[audit] size", "size = \"64M\"", "size = \"1G\"", &["[audit] size: 64M → 1G"]),
    ("[audit] age", "age = \"30d\"", "age = \"7d\"", &["[audit] age: 30d → 7d"]),
    ("[audit] keep", "keep = 12", "keep = 7", &["[audit] keep: 12 → 7"]),
    (
        "[audit] when_failing",
        "when_failing = \"admit\"",
        "when_failing = \"refuse\"",
        &["[audit] when_failing: admit → refuse"],
    ),
    ("[debug] sources", "sources = []", "sources = [\"192.0.2.7\"]", &["[debug] source 192.0.2.7 added"]),
    ("[debug] for", "for = \"1h\"", "for = \"2h\"", &["[debug] for: 1h → 2h"]),
    ("[exec] at_once", "at_once = 16", "at_once = 7", &["[exec] at_once: 16 → 7"]),
    ("[firewall] mode", "", "", &[HELD]),
    ("[firewall] family", "family = \"inet\"", "family = \"ip\"", &["action intranet changed: to", "[firewall] table"]),
    ("[firewall] table", "table = \"siglatch\"", "table = \"other\"", &[HELD]),
    ("[firewall] priority", "priority = -10", "priority = 0", &["[firewall] priority: -10 → 0"]),
    (
        "[firewall] protect",
        "[\"tcp/22\", \"tcp/5432\"]",
        "[\"tcp/22\", \"tcp/5432\", \"udp/53\"]",
        &["protected service udp/53 added"],
    ),
    (
        "[firewall] protect_forward",
        "[\"tcp/443@10.0.0.5\", ",
        "[\"tcp/444@10.0.0.5\", \"tcp/443@10.0.0.5\", ",
        &["protected service tcp/444@10.0.0.5 added"],
    ),
    (
        "[firewall] dnat",
        "protect_forward = [",
        "dnat = [\"tcp/2222 -> 10.0.0.5:22\"]\nprotect_forward = [",
        &["dnat tcp/2222 -> 10.0.0.5:22 added"],
    ),
    ("[firewall] set_v4", "\"a_v4\"", "\"b_v4\"", &["[firewall] set_v4: a_v4 → b_v4"]),
    ("[firewall] set_v6", "\"a_v6\"", "\"b_v6\"", &["[firewall] set_v6: a_v6 → b_v6"]),
    (
        "[firewall] set_forward_v4",
        "\"a_forward_v4\"",
        "\"b_forward_v4\"",
        &["[firewall] set_forward_v4: a_forward_v4 → b_forward_v4"],
    ),
    (
        "[firewall] set_forward_v6",
        "\"a_forward_v6\"",
        "\"b_forward_v6\"",
        &["[firewall] set_forward_v6: a_forward_v6 → b_forward_v6"],
    ),
    ("[user.NAME] id", "[user.bob]\nid = 2", "[user.bob]\nid = 3", &["user bob changed: id"]),
    ("[user.NAME] key", "\"keys/alice.key\"", "\"keys/carol.key\"", &["user alice changed: key"]),
    ("[user.NAME] enabled", "[user.bob]", "[user.bob]\nenabled = false", &["user bob changed: enabled"]),
    ("[user.NAME] admin", "[user.bob]", "[user.bob]\nadmin = true", &["user bob changed: admin"]),
    ("[user.NAME] groups", "[user.bob]", "[user.bob]\ngroups = [\"ops\"]", &["action intranet changed: users"]),
    ("[user.NAME] networks", "\"198.51.100.0/24\", ", "", &["user bob changed: networks"]),
    (
        "[user.NAME] not_before",
        "[user.bob]",
        "[user.bob]\nnot_before = 2027-01-01T00:00:00Z",
        &["user bob changed: not_before"],
    ),
    ("[user.NAME] not_after", "2099-12-31", "2098-12-31", &["user bob changed: not_after"]),
    ("[user.NAME] uses", "[user.bob]", "[user.bob]\nuses = 7", &["user bob changed: uses"]),
    ("[user.NAME] debug", "debug = false", "debug = true", &["user alice changed: debug"]),
    ("[action.NAME] id", "[action.ssh]\nid = 1 ", "[action.ssh]\nid = 99 ", &["action ssh changed: id"]),
    ("[action.NAME] users", "users = \"all\" ", "users = [\"alice\"] ", &["action ssh changed: users"]),
    (
        "[action.NAME] groups",
        "groups = [\"ops\"]\ngrant",
        "groups = [\"ops\"]\nusers = [\"bob\"]\ngrant",
        &["action intranet changed: users"],
    ),
    (
        "[action.NAME] kind",
        "[action.leave]\nid = 3\nusers = \"all\"\nrevoke = [\"ssh\", \"intranet\", \"vpn\"]",
        "[action.leave]\nid = 3\nusers = \"all\"\ngrant = [\"tcp/22\"]",
        &["action leave changed: kind"],
    ),
    (
        "[action.NAME] networks",
        "networks = []                       # default: may",
        "networks = [\"10.0.0.0/8\"] # may",
        &["action ssh changed: networks"],
    ),
    (
        "[action.NAME] hours",
        "[\"mon-fri 08:00-18:00\"]\n",
        "[\"mon-fri 08:00-19:00\"]\n",
        &["action intranet changed: hours"],
    ),
    (
        "[action.NAME] not_before",
        "[action.leave]",
        "[action.leave]\nnot_before = 2027-01-01T00:00:00Z",
        &["action leave changed: not_before"],
    ),
    (
        "[action.NAME] not_after",
        "[action.leave]",
        "[action.leave]\nnot_after = 2037-01-01T00:00:00Z",
        &["action leave changed: not_after"],
    ),
    ("[action.NAME] uses", "[action.leave]", "[action.leave]\nuses = 7", &["action leave changed: uses"]),
    ("[action.NAME] dry_run", "[action.leave]", "[action.leave]\ndry_run = true", &["action leave changed: dry_run"]),
    ("[action.NAME] grant", "grant = [\"tcp/22\"] ", "grant = [\"tcp/5432\"] ", &["action ssh changed: grant"]),
    (
        "[action.NAME] to",
        "to = [\"10.0.0.5\", \"2001:db8:0:1::5\"]",
        "to = [\"10.0.0.5\"]",
        &["action intranet changed: to"],
    ),
    ("[action.NAME] ttl", "ttl = \"10m\"", "ttl = \"20m\"", &["action ssh changed: ttl"]),
    ("[action.NAME] max_ttl", "max_ttl = \"1h\"", "max_ttl = \"2h\"", &["action ssh changed: max_ttl"]),
    (
        "[action.NAME] source",
        "source = \"packet\"                   # default: opened",
        "source = \"match\" # opened",
        &["action ssh changed: source"],
    ),
    (
        "[action.NAME] undo",
        "undo = \"vpn-off\"                    # default: nothing; a program that undoes",
        "undo = \"alarm\" # undoes",
        &["action vpn changed: undo"],
    ),
    ("[action.NAME] revoke", "\"ssh\", \"intranet\", ", "\"ssh\", ", &["action leave changed: revoke"]),
    ("[action.NAME] exec", "\"--remove\"", "\"--delete\"", &["action vpn-off changed: exec"]),
    (
        "[action.NAME] run_as",
        "[\"/usr/local/lib/siglatch/alarm\"]\nrun_as = \"siglatch-run\"",
        "[\"/usr/local/lib/siglatch/alarm\"]\nrun_as = \"nobody\"",
        &["action alarm changed: run_as"],
    ),
    ("[action.NAME] run_groups", "run_groups = []", "run_groups = [\"adm\"]", &["action vpn changed: run_groups"]),
    ("[action.NAME] folder", "folder = \"/\"", "folder = \"/tmp\"", &["action vpn changed: folder"]),
    ("[action.NAME] time", "\ntime = \"30s\"", "\ntime = \"31s\"", &["action vpn changed: time"]),
    ("[action.NAME] cpu", "cpu = \"10s\"", "cpu = \"11s\"", &["action vpn changed: cpu"]),
    ("[action.NAME] memory", "memory = \"256M\"", "memory = \"257M\"", &["action vpn changed: memory"]),
    ("[action.NAME] processes", "processes = 32", "processes = 33", &["action vpn changed: processes"]),
    ("[action.NAME] output", "output = \"64K\"", "output = \"65K\"", &["action vpn changed: output"]),
    ("[action.NAME] at_once", "at_once = 4 ", "at_once = 5 ", &["action vpn changed: at_once"]),
    ("[action.NAME] queue", "queue = 16", "queue = 17", &["action vpn changed: queue"]),
    (
        "[action.NAME] on_failure",
        "on_failure = \"alarm\"",
        "on_failure = \"vpn-off\"",
        &["action vpn changed: on_failure"],
    ),
    (
        "[action.NAME] require_ascii",
        "require_ascii = true",
        "require_ascii = false",
        &["action vpn changed: require_ascii"],
    ),
    (
        "[action.NAME] starts_with",
        "starts_with = \"vpn \"",
        "starts_with = \"vpn\"",
        &["action vpn changed: starts_with"],
    ),
    ("[action.NAME] builtin", "builtin = \"status\"", "builtin = \"reload\"", &["action status changed: builtin"]),
    (
        "[sequence.NAME] steps",
        "[\"db-1\", \"db-2\", \"db-open\"]",
        "[\"db-2\", \"db-1\", \"db-open\"]",
        &["sequence db changed: steps"],
    ),
    ("[sequence.NAME] within", "within = \"10s\"", "within = \"9s\"", &["sequence db changed: within"]),
];

/// That the key itself counts from the next start.
const HELD: &str = "at the next start";

#[test]
fn every_key_is_told_of_and_held_back_or_not() {
    let mut wrong = String::new();
    for (key, taken, put, words) in CASES {
        let (before, after) = texts(key, taken, put);
        let (old, new) = (settings(&before), settings(&after));
        let changes = Changes::between(&old, &new);
        let told: Vec<String> = changes
            .live
            .iter()
            .map(Changed::to_string)
            .chain(changes.at_next_start.iter().map(|key| (*key).to_owned()))
            .collect();
        let expected: Vec<String> =
            words.iter().map(|word| if *word == HELD { (*key).to_owned() } else { (*word).to_owned() }).collect();
        if told != expected {
            wrong += &format!("{key}: {told:?}\n");
        }
        let held = changes.at_next_start.clone();
        let effective = holding_back(new, &old);
        // What is held back is as it was, and all the rest is as it is to be.
        let left = Changes::between(&effective, &settings(&after));
        if !left.live.is_empty()
            || left.at_next_start != held
            || !Changes::between(&old, &effective).at_next_start.is_empty()
        {
            wrong += &format!("{key}: held back {left:?}\n");
        }
        assert!(Changes::between(&settings(&after), &settings(&after)).is_empty(), "{key}");
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn every_key_of_the_schema_has_a_case() {
    let keys: BTreeSet<String> = schema::FORMS
        .iter()
        .flat_map(|form| form.keys.iter().map(|key| format!("{} {}", form.title, key.name)))
        .collect();
    let cases: BTreeSet<String> = CASES.iter().map(|(key, ..)| (*key).to_owned()).collect();
    assert_eq!(cases, keys);
}

#[test]
fn what_comes_and_goes_is_told_by_name() {
    let (before, after) = SOUND.split_once("[sequence.db]").unwrap();
    let more = "[user.carol]\nid = 3\nkey = \"root.key\"\n[action.off]\nid = 4\nusers = \"all\"\nrevoke = [\"ssh\"]\n[sequence.db]";
    let changes = |old: &str, new: &str| words(&Changes::between(&settings(old), &settings(new)));
    let with = format!("{before}{more}{after}");
    assert_eq!(changes(SOUND, &with), ["user carol added", "action off added"]);
    assert_eq!(changes(&with, SOUND), ["user carol removed", "action off removed"]);
    let (without, _) = SOUND.split_once("[action.one]").unwrap();
    let expected =
        ["action one removed", "action two removed", "sequence db removed", "protected service udp/500 removed"];
    let mut told = changes(SOUND, &without.replace(", \"udp/500\"", ""));
    told.sort_by_key(|word| expected.iter().position(|known| known == word));
    assert_eq!(told, expected);
}

#[test]
fn a_program_that_has_another_number_is_the_same() {
    let two = |first: &str, second: &str| {
        let program = |name: &str| format!("[action.{name}]\nexec = [\"/{name}\"]\nrun_as = \"x\"\n");
        let undone = "grant = [\"tcp/22\"]\nundo = \"a\"\n[action.three]\nid = 9\nusers = \"all\"\ngrant = [\"tcp/22\"]\nundo = \"b\"\n";
        SOUND.replace("grant = [\"tcp/22\"]\n", &format!("{undone}{}{}", program(first), program(second)))
    };
    assert_eq!(words(&Changes::between(&settings(&two("a", "b")), &settings(&two("b", "a")))), [""; 0]);
}

#[test]
fn users_who_changed_their_numbers_may_do_the_same() {
    let swapped = SOUND
        .replace("id = 1\nkey", "id = 7\nkey")
        .replace("id = 2\nkey", "id = 1\nkey")
        .replace("id = 7\nkey", "id = 2\nkey");
    let changes = Changes::between(&settings(SOUND), &settings(&swapped));
    assert_eq!(words(&changes), ["user alice changed: id", "user bob changed: id"]);
}

#[test]
fn no_secret_is_told() {
    let text = SOUND.replace("\"alice.key\"", "\"root.key\"").replace("\"server.key\"", "\"other.key\"");
    let changes = Changes::between(&settings(SOUND), &settings(&text));
    assert_eq!(words(&changes), ["server key changed", "user alice changed: key"]);
    let told = format!("{changes:?}");
    assert!(!told.contains("030303") && !told.contains("3, 3, 3"), "{told}");
}

#[test]
fn many_changes_are_told_in_few_words() {
    let text = SOUND.replace("[keys]\n", "[limits]\nrate = 20\nburst = 30\nsources = 1024\n[keys]\n");
    let changes = Changes::between(&settings(SOUND), &settings(&text));
    let all = [
        "[limits] sources changed: it counts from the next start",
        "[limits] rate: 10 → 20",
        "[limits] burst: 20 → 30",
    ];
    assert_eq!(changes.words(3), all);
    assert_eq!(changes.words(1), [all[0], "and 2 more"]);
    assert_eq!((changes.live[0].label(), changes.live[0].what), ("changed", "[limits]"));
}

/// The texts before and after; those about sets are of a configuration that has some.
fn texts(key: &str, taken: &str, put: &str) -> (String, String) {
    let (before, table) = ANNOTATED.split_once("mode = \"table\"").unwrap();
    let (_, after) = table.split_once("\n# In mode").unwrap();
    let sets = "mode = \"sets\"\nfamily = \"inet\"\ntable = \"t\"\nset_v4 = \"a_v4\"\nset_v6 = \"a_v6\"\n\
                set_forward_v4 = \"a_forward_v4\"\nset_forward_v6 = \"a_forward_v6\"\n";
    let sets = format!("{before}{sets}#{after}");
    if key == "[firewall] mode" {
        return (ANNOTATED.to_owned(), sets);
    }
    let before =
        if key.starts_with("[firewall] set_") || key == "[firewall] family" { sets } else { ANNOTATED.to_owned() };
    assert!(before.contains(taken), "{key}");
    let after = before.replacen(taken, put, 1);
    match key {
        "[firewall] family" => {
            let v6 = ["set_v6 = \"a_v6\"\n", "set_forward_v6 = \"a_forward_v6\"\n"];
            let after = v6.iter().fold(after, |text, set| text.replace(set, ""));
            (before, after.replacen("to = [\"10.0.0.5\", \"2001:db8:0:1::5\"]", "to = [\"10.0.0.5\"]", 1))
        }
        _ => (before, after),
    }
}

fn settings(text: &str) -> Settings {
    match read_text(text) {
        Ok(sound) => sound.settings,
        Err(findings) => panic!("{text}\n{}", Report::new("test", text, findings).lines()),
    }
}

fn words(changes: &Changes) -> Vec<String> {
    changes.words(usize::MAX)
}
