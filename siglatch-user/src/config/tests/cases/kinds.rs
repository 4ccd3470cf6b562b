//! The kinds of actions: what each may say, and which others it may name.

use super::{Case, more};
use crate::config::Code;

/// An action that starts a program, with more keys.
macro_rules! exec {
    ($($keys:literal),*) => {
        more!("[action.run]\nid = 4\nusers = \"all\"\nexec = [\"/bin/run\"]\nrun_as = \"nobody\"\n", $($keys),*)
    };
}

/// A program that others may name, besides an action that starts one, with more keys.
macro_rules! two {
    ($($keys:literal),*) => {
        exec!($($keys,)* "\n[action.off]\nexec = [\"/bin/off\"]\nrun_as = \"nobody\"")
    };
}

/// The firewall's lines, and those of the action that grants.
macro_rules! forward {
    ($firewall:literal, $grant:literal) => {
        concat!(
            "[firewall]\n",
            $firewall,
            "\n[user.alice]\nid = 1\nkey = \"alice.key\"\n[user.bob]\nid = 2\nkey = \"bob.key\"\n[action.ssh]\nid = 1\n\
             users = \"all\"\ngrant = [\"tcp/22\"]",
            $grant
        )
    };
}

/// What [`forward!`] stands in place of.
const FORWARD: &str = forward!("protect = [\"tcp/22\", \"udp/500\"]", "");

/// In front of the table that stands last.
const END: &str = "[sequence.db]";

pub(super) const CASES: &[Case] = &[
    // Kinds.
    ("grant = [\"tcp/22\"]", "grant = [\"tcp/22\"]\nrun_as = \"x\"", &[(Code::MisplacedKey, "run_as")]),
    ("grant = [\"tcp/22\"]", "grant = [\"tcp/22\"]\nexec = [\"/x\"]", &[(Code::MisplacedKey, "exec")]),
    (
        "kind = \"step\"",
        "kind = \"step\"\nundo = \"ssh\"\nto = []",
        &[(Code::MisplacedKey, "undo"), (Code::MisplacedKey, "to")],
    ),
    (END, more!("[action.out]\nid = 4\nusers = \"all\"\nkind = \"revoke\""), &[(Code::MissingKey, "out")]),
    (
        END,
        more!("[action.out]\nid = 4\nusers = \"all\"\nkind = \"exec\"\nrun_as = \"x\""),
        &[(Code::MissingKey, "out")],
    ),
    (
        END,
        more!("[action.out]\nid = 4\nusers = \"all\"\nkind = \"builtin\""),
        &[(Code::MissingKey, "out"), (Code::NoAdmin, "out")],
    ),
    // Ports that lead to hosts behind this one.
    (FORWARD, forward!("protect = [\"udp/500\"]\ndnat = [\"tcp/22 -> 10.0.0.5:22\", \"tcp/22 -> [::5]:1\"]", ""), &[]),
    (
        FORWARD,
        forward!("protect = [\"tcp/22\", \"udp/500\"]\ndnat = [\"tcp/22 -> 10.0.0.5:22\"]", ""),
        &[(Code::PortClash, "\"tcp/22 -> 10.0.0.5:22\"")],
    ),
    (
        FORWARD,
        forward!("protect = [\"udp/500\"]\ndnat = [\"tcp/22 -> 10.0.0.5:22\", \"tcp/22 -> 10.0.0.5:2\"]", ""),
        &[(Code::PortClash, "\"tcp/22 -> 10.0.0.5:2\"")],
    ),
    (
        FORWARD,
        forward!("protect = [\"tcp/22\", \"udp/500\"]\ndnat = [\"tcp/23 -> 10.0.0.5:22\"]", ""),
        &[(Code::NeverOpened, "\"tcp/23 -> 10.0.0.5:22\"")],
    ),
    (
        FORWARD,
        forward!("protect = [\"tcp/22\", \"udp/500\"]\ndnat = [\"tcp/23 -> ::5\"]", ""),
        &[(Code::BadService, "\"tcp/23 -> ::5\"")],
    ),
    // Grants for hosts behind this one.
    (
        FORWARD,
        forward!("protect = [\"udp/500\"]\nprotect_forward = [\"tcp/22@10.0.0.5\"]", "\nto = [\"10.0.0.5\"]"),
        &[],
    ),
    (
        FORWARD,
        forward!("protect = [\"udp/500\"]", "\nto = [\"10.0.0.5\"]"),
        &[(Code::UnprotectedService, "\"tcp/22\"")],
    ),
    (
        FORWARD,
        forward!("protect = [\"udp/500\"]\nprotect_forward = [\"tcp/22@10.0.0.5\"]", "\nto = [\"10.0.0.5\", \"::5\"]"),
        &[(Code::UnprotectedService, "\"tcp/22\"")],
    ),
    (
        FORWARD,
        forward!(
            "protect = [\"udp/500\"]\nprotect_forward = [\"tcp/22@10.0.0.5\"]",
            "\nto = [\"10.0.0.5\"]\nnetworks = [\"::/0\"]"
        ),
        &[(Code::NeverHolds, "[\"10.0.0.5\"]")],
    ),
    (
        FORWARD,
        forward!(
            "protect = [\"udp/500\"]\nprotect_forward = [\"tcp/22@10.0.0.5\"]",
            "\nto = [\"10.0.0.5\"]\nnetworks = [\"::/0\", \"10.0.0.0/8\"]"
        ),
        &[],
    ),
    ("grant = [\"tcp/22\"]", "grant = [\"tcp/22\"]\nto = []", &[(Code::OutOfRange, "[]")]),
    ("grant = [\"tcp/22\"]", "grant = [\"tcp/22\"]\nto = [\"10.0.0.0/8\"]", &[(Code::BadAddress, "\"10.0.0.0/8\"")]),
    (
        FORWARD,
        forward!("mode = \"sets\"\ntable = \"t\"\nset_v4 = \"s\"\nset_forward_v4 = \"f\"", "\nto = [\"10.0.0.5\"]"),
        &[],
    ),
    (
        FORWARD,
        forward!(
            "mode = \"sets\"\ntable = \"t\"\nset_v4 = \"s\"\nset_forward_v4 = \"f\"",
            "\nto = [\"10.0.0.5\", \"2001:db8::5\"]"
        ),
        &[(Code::NoSet, "\"2001:db8::5\"")],
    ),
    (
        FORWARD,
        forward!("mode = \"sets\"\ntable = \"t\"\nset_v4 = \"s\"\nset_forward_v6 = \"f\"", "\nto = [\"10.0.0.5\"]"),
        &[(Code::NoSet, "\"10.0.0.5\"")],
    ),
    // Revocations.
    (END, more!("[action.out]\nid = 4\nusers = \"all\"\nrevoke = [\"ssh\", \"two\"]\nsource = \"match\""), &[]),
    (END, more!("[action.out]\nid = 4\nusers = \"all\"\nrevoke = []"), &[(Code::OutOfRange, "[]")]),
    (
        END,
        more!("[action.out]\nid = 4\nusers = \"all\"\nrevoke = [\"ssh\", \"ssh\"]"),
        &[(Code::DuplicateEntry, "\"ssh\"")],
    ),
    (END, more!("[action.out]\nid = 4\nusers = \"all\"\nrevoke = [\"shs\"]"), &[(Code::UnknownAction, "\"shs\"")]),
    (END, more!("[action.out]\nid = 4\nusers = \"all\"\nrevoke = [\"one\"]"), &[(Code::WrongKind, "\"one\"")]),
    (END, more!("[action.out]\nid = 4\nusers = \"all\"\nrevoke = [\"out\"]"), &[(Code::WrongKind, "\"out\"")]),
    (
        END,
        more!("[action.out]\nid = 4\nusers = \"all\"\nrevoke = [\"ssh\"]\nttl = \"1m\""),
        &[(Code::MisplacedKey, "ttl")],
    ),
    (END, exec!("[action.out]\nid = 5\nusers = \"all\"\nrevoke = [\"run\"]"), &[(Code::WrongKind, "\"run\"")]),
    (END, two!("undo = \"off\"\nttl = \"1m\"\n[action.out]\nid = 5\nusers = \"all\"\nrevoke = [\"run\"]"), &[]),
    (
        END,
        two!("undo = \"off\"\nttl = \"1m\"\n[action.out]\nid = 5\nusers = \"all\"\nrevoke = [\"off\"]"),
        &[(Code::WrongKind, "\"off\"")],
    ),
    // Builtins.
    ("[user.bob]\n", "[action.in]\nid = 4\nusers = \"all\"\nbuiltin = \"reload\"\n[user.bob]\nadmin = true\n", &[]),
    (
        "[user.bob]\n",
        "[action.in]\nid = 4\nusers = [\"alice\"]\nbuiltin = \"reload\"\n[user.bob]\nadmin = true\n",
        &[(Code::NoAdmin, "in")],
    ),
    (
        "[user.bob]\n",
        "[action.in]\nid = 4\nusers = \"all\"\nbuiltin = \"reboot\"\n[user.bob]\nadmin = true\n",
        &[(Code::UnknownChoice, "\"reboot\"")],
    ),
    // Programs.
    (END, exec!(""), &[]),
    (END, more!("[action.run]\nid = 4\nusers = \"all\"\nexec = [\"/bin/run\"]"), &[(Code::MissingKey, "run")]),
    (END, more!("[action.run]\nid = 4\nusers = \"all\"\nexec = []\nrun_as = \"x\""), &[(Code::OutOfRange, "[]")]),
    (
        END,
        more!("[action.run]\nid = 4\nusers = \"all\"\nexec = [\"run\"]\nrun_as = \"x\""),
        &[(Code::NotAbsolute, "\"run\"")],
    ),
    (
        END,
        more!("[action.run]\nid = 4\nusers = \"all\"\nexec = \"/bin/run\"\nrun_as = \"x\""),
        &[(Code::WrongType, "\"/bin/run\"")],
    ),
    (
        END,
        more!("[action.run]\nid = 4\nusers = \"all\"\nexec = [\"/bin/run\", \"a\\u0000b\"]\nrun_as = \"x\""),
        &[(Code::BadName, "\"a\\u0000b\"")],
    ),
    (
        END,
        more!("[action.run]\nid = 4\nusers = \"all\"\nexec = [\"/x\"]\nrun_as = \"root\""),
        &[(Code::RunsAsRoot, "\"root\"")],
    ),
    (
        END,
        more!("[action.run]\nid = 4\nusers = \"all\"\nexec = [\"/x\"]\nrun_as = \"0\""),
        &[(Code::RunsAsRoot, "\"0\"")],
    ),
    (END, more!("[action.run]\nid = 4\nusers = \"all\"\nexec = [\"/x\"]\nrun_as = \"1000\""), &[]),
    (END, more!("[action.run]\nid = 4\nusers = \"all\"\nexec = [\"/x\"]\nrun_as = 1000"), &[(Code::WrongType, "1000")]),
    (
        END,
        more!("[action.run]\nid = 4\nusers = \"all\"\nexec = [\"/x\"]\nrun_as = \"a b\""),
        &[(Code::BadName, "\"a b\"")],
    ),
    (
        END,
        more!("[action.run]\nid = 4\nusers = \"all\"\nexec = [\"/x\"]\nrun_as = \"4294967295\""),
        &[(Code::BadName, "\"4294967295\"")],
    ),
    (END, exec!("run_groups = [\"adm\", \"\"]"), &[(Code::BadName, "\"\"")]),
    (END, exec!("run_groups = [\"adm\", \"100\"]"), &[]),
    (END, exec!("folder = \"tmp\""), &[(Code::NotAbsolute, "\"tmp\"")]),
    (END, exec!("folder = \"/tmp\""), &[]),
    (END, exec!("time = \"25h\""), &[(Code::OutOfRange, "\"25h\"")]),
    (END, exec!("time = \"1d\"\ncpu = \"1s\""), &[]),
    (END, exec!("cpu = 1"), &[(Code::WrongType, "1")]),
    (END, exec!("memory = \"15M\""), &[(Code::OutOfRange, "\"15M\"")]),
    (END, exec!("memory = \"16M\"\noutput = \"1K\"\nprocesses = 1\nqueue = 0\nat_once = 1"), &[]),
    (END, exec!("memory = \"lots\""), &[(Code::BadSize, "\"lots\"")]),
    (END, exec!("output = \"1023\""), &[(Code::BadSize, "\"1023\"")]),
    (END, exec!("output = \"0K\""), &[(Code::OutOfRange, "\"0K\"")]),
    (END, exec!("processes = 0"), &[(Code::OutOfRange, "0")]),
    (END, exec!("queue = 10_001"), &[(Code::OutOfRange, "10_001")]),
    (END, exec!("at_once = 0"), &[(Code::OutOfRange, "0")]),
    (END, exec!("at_once = 16"), &[]),
    (END, exec!("at_once = 17"), &[(Code::AtOnceOverAll, "17")]),
    (END, exec!("at_once = 17\n[exec]\nat_once = 17"), &[]),
    (END, exec!("require_ascii = true\nstarts_with = \"héllo\""), &[(Code::NeverHolds, "\"héllo\"")]),
    (END, exec!("require_ascii = false\nstarts_with = \"héllo\""), &[]),
    (END, exec!("require_ascii = true\nstarts_with = \" ~\""), &[]),
    (END, exec!("max_ttl = \"1m\""), &[(Code::MisplacedKey, "max_ttl")]),
    // What undoes them, and what follows a failure.
    (END, exec!("ttl = \"1m\""), &[(Code::MisplacedKey, "ttl")]),
    (END, two!("undo = \"off\""), &[(Code::MissingKey, "run")]),
    (END, two!("undo = \"off\"\nttl = \"1m\""), &[]),
    (END, exec!("undo = \"run\"\nttl = \"1m\""), &[]),
    (END, exec!("undo = \"runs\"\nttl = \"1m\""), &[(Code::UnknownAction, "\"runs\"")]),
    (END, exec!("undo = \"ssh\"\nttl = \"1m\""), &[(Code::WrongKind, "\"ssh\"")]),
    (END, two!("on_failure = \"off\""), &[]),
    (END, exec!("on_failure = \"none\""), &[(Code::UnknownAction, "\"none\"")]),
    (END, exec!("on_failure = \"one\""), &[(Code::WrongKind, "\"one\"")]),
    (END, exec!("on_failure = \"run\""), &[(Code::FailureCircle, "\"run\"")]),
    (
        END,
        two!("on_failure = \"off\"\n[action.c]\non_failure = \"run\"\nexec = [\"/c\"]\nrun_as = \"x\""),
        &[(Code::UnusedProgram, "c")],
    ),
    ("grant = [\"tcp/22\"]", "grant = [\"tcp/22\"]\nundo = \"two\"", &[(Code::WrongKind, "\"two\"")]),
    ("grant = [\"tcp/22\"]", "grant = [\"tcp/22\"]\nundo = \"nothing\"", &[(Code::UnknownAction, "\"nothing\"")]),
    (
        "grant = [\"tcp/22\"]",
        "grant = [\"tcp/22\"]\nundo = \"off\"\n[action.off]\nexec = [\"/off\"]\nrun_as = \"nobody\"",
        &[],
    ),
    // Programs that no knock can ask for.
    (END, two!(""), &[(Code::UnusedProgram, "off")]),
    (END, two!("on_failure = \"off\"\n[user.carol]\nid = 9\nkey = \"root.key\""), &[]),
    (END, more!("[action.run]\nid = 4\nexec = [\"/x\"]\nrun_as = \"x\""), &[(Code::MissingKey, "run")]),
    (
        END,
        more!("[action.run]\ngroups = [\"ops\"]\nexec = [\"/x\"]\nrun_as = \"x\""),
        &[(Code::MissingKey, "run"), (Code::UnknownGroup, "\"ops\"")],
    ),
    (
        "grant = [\"tcp/22\"]",
        "grant = [\"tcp/22\"]\nundo = \"off\"\n[action.off]\nexec = [\"/off\"]\nrun_as = \"nobody\"\nuses = 1\nhours = []",
        &[(Code::MisplacedKey, "uses"), (Code::MisplacedKey, "hours"), (Code::OutOfRange, "[]")],
    ),
    // The end of a sequence.
    (
        "[\"one\", \"two\"]",
        "[\"one\", \"run\"]\n[action.run]\nid = 4\nusers = \"all\"\nexec = [\"/x\"]\nrun_as = \"x\"",
        &[],
    ),
    (
        "[\"one\", \"two\"]",
        "[\"run\", \"two\"]\n[action.run]\nid = 4\nusers = \"all\"\nexec = [\"/x\"]\nrun_as = \"x\"",
        &[(Code::OrphanStep, "one"), (Code::EffectBeforeEnd, "\"run\"")],
    ),
    (
        "[\"one\", \"two\"]",
        "[\"one\", \"run\"]\n[action.run]\nexec = [\"/x\"]\nrun_as = \"x\"",
        &[(Code::WrongKind, "\"run\""), (Code::UnusedProgram, "run")],
    ),
    ("[\"one\", \"two\"]", "[\"one\", \"out\"]\n[action.out]\nid = 4\nusers = \"all\"\nrevoke = [\"ssh\"]", &[]),
];
