//! Every table and key of the configuration: its name, whether it must be there, and an example. Never reads any.

use siglatch_common::lane::Lane;

/// One table and the keys it may have.
#[derive(Debug)]
pub struct Form {
    /// Its header, as an operator writes it.
    pub title: &'static str,
    /// Its keys.
    pub keys: &'static [Key],
}

/// One key of a table.
#[derive(Debug)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// Whether the table is incomplete without it.
    pub required: bool,
    /// A value as an operator writes it.
    pub example: &'static str,
}

/// Every table that has keys of its own.
pub const FORMS: &[&Form] = &[
    &GATEWAY,
    &INGRESS,
    &PORT,
    &GATE_KEY,
    &KEYS,
    &KNOCK,
    &STATE,
    &LIMITS,
    &LANE_STAMPED,
    &LANE_KNOWN,
    &LANE_UNKNOWN,
    &KNOWN,
    &ALLOW,
    &BAN,
    &BLACKLIST,
    &ADMIN,
    &METRICS,
    &DAEMON,
    &AUDIT,
    &DEBUG,
    &EXEC,
    &FIREWALL,
    &USER,
    &ACTION,
    &SEQUENCE,
];

/// The tables themselves.
pub(super) const ROOT: Form = Form {
    title: "the file",
    keys: &[
        optional("gateway", "{ host = \"gw.example.org\" }"),
        optional("ingress", "{ interfaces = [\"eth0\"] }"),
        optional("port", "[{ port = 62201 }]"),
        optional("gate_key", "[{ number = 0, file = \"keys/gate-0.key\" }]"),
        optional("keys", "{ server = \"server.key\" }"),
        optional("knock", "{ max_skew = \"60s\" }"),
        optional("state", "{ dir = \"/var/lib/siglatch\" }"),
        optional("limits", "{ rate = 10 }"),
        optional("lane", "{ unknown = { budget = 200 } }"),
        optional("known", "{ for = \"30d\" }"),
        optional("allow", "{ networks = [\"192.0.2.0/24\"] }"),
        optional("ban", "{ strikes = 5 }"),
        optional("blacklist", "{ files = [\"blacklist.txt\"] }"),
        optional("admin", "{ socket = \"/run/siglatch/admin.sock\" }"),
        optional("metrics", "{ listen = \"127.0.0.1:9707\" }"),
        optional("daemon", "{ user = \"siglatch\" }"),
        optional("audit", "{ size = \"64M\" }"),
        optional("debug", "{ for = \"1h\" }"),
        optional("exec", "{ at_once = 16 }"),
        optional("firewall", "{ protect = [\"tcp/22\"] }"),
        optional("user", "{ alice = { id = 1, key = \"keys/alice.key\" } }"),
        optional("action", "{ ssh = { id = 1, users = \"all\", grant = [\"tcp/22\"] } }"),
        optional("sequence", "{ db = { steps = [\"db-1\", \"db-2\"] } }"),
    ],
};

pub(super) const GATEWAY: Form = Form {
    title: "[gateway]",
    keys: &[
        optional("name", "\"gateway\""),
        required("host", "\"gw.example.org\""),
        optional("time_zone", "\"Europe/Berlin\""),
    ],
};

pub(super) const INGRESS: Form = Form {
    title: "[ingress]",
    keys: &[
        optional("mode", "\"xdp\""),
        optional("interfaces", "[\"eth0\"]"),
        optional("attach", "\"auto\""),
        optional("pin_dir", "\"/sys/fs/bpf/siglatch\""),
        optional("diagnostics", "\"off\""),
    ],
};

pub(super) const PORT: Form =
    Form { title: "[[port]]", keys: &[required("port", "62201"), optional("wire", "\"sealed\"")] };

pub(super) const GATE_KEY: Form =
    Form { title: "[[gate_key]]", keys: &[required("number", "0"), required("file", "\"keys/gate-0.key\"")] };

pub(super) const KEYS: Form =
    Form { title: "[keys]", keys: &[required("server", "\"server.key\""), optional("threads", "2")] };

pub(super) const KNOCK: Form = Form { title: "[knock]", keys: &[optional("max_skew", "\"60s\"")] };

pub(super) const STATE: Form =
    Form { title: "[state]", keys: &[optional("dir", "\"/var/lib/siglatch\""), optional("nonces", "1_000_000")] };

pub(super) const LIMITS: Form = Form {
    title: "[limits]",
    keys: &[optional("rate", "10"), optional("burst", "20"), optional("sources", "65536"), optional("copies", "65536")],
};

pub(super) const LANES: Form = Form {
    title: "[lane]",
    keys: &[
        optional("stamped", "{ share = 20 }"),
        optional("known", "{ share = 20 }"),
        optional("unknown", "{ budget = 200 }"),
    ],
};

/// The table of one lane.
pub(super) const fn lane(lane: Lane) -> &'static Form {
    match lane {
        Lane::Stamped => &LANE_STAMPED,
        Lane::Known => &LANE_KNOWN,
        Lane::Unknown => &LANE_UNKNOWN,
    }
}

const LANE_STAMPED: Form = Form { title: "[lane.stamped]", keys: LANE_KEYS };
const LANE_KNOWN: Form = Form { title: "[lane.known]", keys: LANE_KEYS };
const LANE_UNKNOWN: Form = Form { title: "[lane.unknown]", keys: LANE_KEYS };
const LANE_KEYS: &[Key] = &[optional("budget", "1000"), optional("share", "20"), optional("ring", "256")];

pub(super) const KNOWN: Form =
    Form { title: "[known]", keys: &[optional("for", "\"30d\""), optional("capacity", "16384")] };

pub(super) const ALLOW: Form = Form { title: "[allow]", keys: &[optional("networks", "[\"192.0.2.0/24\"]")] };

pub(super) const BAN: Form = Form {
    title: "[ban]",
    keys: &[
        optional("strikes", "5"),
        optional("within", "\"10m\""),
        optional("steps", "[\"10m\", \"1h\", \"24h\"]"),
        optional("forget", "\"24h\""),
        optional("flood", "1000"),
        optional("scope", "\"knock\""),
        optional("capacity", "65536"),
    ],
};

pub(super) const BLACKLIST: Form = Form { title: "[blacklist]", keys: &[optional("files", "[\"blacklist.txt\"]")] };

pub(super) const ADMIN: Form = Form {
    title: "[admin]",
    keys: &[
        optional("socket", "\"/run/siglatch/admin.sock\""),
        optional("operators", "[\"@siglatch-admin\"]"),
        optional("observers", "[\"@adm\"]"),
        optional("observer_socket", "\"/run/siglatch/observe.sock\""),
    ],
};

pub(super) const METRICS: Form = Form { title: "[metrics]", keys: &[optional("listen", "\"127.0.0.1:9707\"")] };

pub(super) const DAEMON: Form =
    Form { title: "[daemon]", keys: &[optional("user", "\"siglatch\""), optional("reload_on_change", "true")] };

pub(super) const AUDIT: Form = Form {
    title: "[audit]",
    keys: &[
        optional("enabled", "true"),
        optional("file", "\"/var/log/siglatch/audit.jsonl\""),
        optional("size", "\"64M\""),
        optional("age", "\"30d\""),
        optional("keep", "12"),
        optional("when_failing", "\"admit\""),
    ],
};

pub(super) const DEBUG: Form =
    Form { title: "[debug]", keys: &[optional("sources", "[\"192.0.2.7\"]"), optional("for", "\"1h\"")] };

pub(super) const EXEC: Form = Form { title: "[exec]", keys: &[optional("at_once", "16")] };

pub(super) const FIREWALL: Form = Form {
    title: "[firewall]",
    keys: &[
        optional("mode", "\"table\""),
        optional("family", "\"inet\""),
        optional("table", "\"siglatch\""),
        optional("priority", "-10"),
        optional("protect", "[\"tcp/22\"]"),
        optional("protect_forward", "[\"tcp/5432@10.0.0.5\"]"),
        optional("dnat", "[\"tcp/2222 -> 10.0.0.5:22\"]"),
        optional("set_v4", "\"siglatch_v4\""),
        optional("set_v6", "\"siglatch_v6\""),
        optional("set_forward_v4", "\"siglatch_forward_v4\""),
        optional("set_forward_v6", "\"siglatch_forward_v6\""),
    ],
};

pub(super) const USER: Form = Form {
    title: "[user.NAME]",
    keys: &[
        required("id", "1"),
        required("key", "\"keys/alice.key\""),
        optional("enabled", "true"),
        optional("admin", "true"),
        optional("groups", "[\"ops\"]"),
        optional("networks", "[\"192.0.2.0/24\"]"),
        optional("not_before", "2027-01-01T00:00:00Z"),
        optional("not_after", "2030-01-01T00:00:00Z"),
        optional("uses", "1"),
        optional("debug", "true"),
    ],
};

pub(super) const ACTION: Form = Form {
    title: "[action.NAME]",
    keys: &[
        optional("id", "1"),
        optional("users", "[\"alice\"]"),
        optional("groups", "[\"ops\"]"),
        optional("kind", "\"step\""),
        optional("networks", "[\"192.0.2.0/24\"]"),
        optional("hours", "[\"mon-fri 08:00-18:00\"]"),
        optional("not_before", "2027-01-01T00:00:00Z"),
        optional("not_after", "2030-01-01T00:00:00Z"),
        optional("uses", "10"),
        optional("dry_run", "true"),
        optional("grant", "[\"tcp/22\"]"),
        optional("to", "[\"10.0.0.5\"]"),
        optional("ttl", "\"10m\""),
        optional("max_ttl", "\"1h\""),
        optional("source", "\"packet\""),
        optional("undo", "\"vpn-off\""),
        optional("revoke", "[\"ssh\"]"),
        optional("exec", "[\"/usr/local/lib/siglatch/vpn\", \"--add\"]"),
        optional("run_as", "\"siglatch-run\""),
        optional("run_groups", "[\"adm\"]"),
        optional("folder", "\"/\""),
        optional("time", "\"30s\""),
        optional("cpu", "\"10s\""),
        optional("memory", "\"256M\""),
        optional("processes", "32"),
        optional("output", "\"64K\""),
        optional("at_once", "4"),
        optional("queue", "16"),
        optional("on_failure", "\"alarm\""),
        optional("require_ascii", "true"),
        optional("starts_with", "\"vpn \""),
        optional("builtin", "\"status\""),
    ],
};

pub(super) const SEQUENCE: Form = Form {
    title: "[sequence.NAME]",
    keys: &[required("steps", "[\"db-1\", \"db-2\", \"db-open\"]"), optional("within", "\"10s\"")],
};

impl Form {
    /// The key with that name.
    pub(super) fn key(&self, name: &str) -> Option<&Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}

const fn required(name: &'static str, example: &'static str) -> Key {
    Key { name, required: true, example }
}

const fn optional(name: &'static str, example: &'static str) -> Key {
    Key { name, required: false, example }
}
