//! Users, actions and sequences, and what they say of each other.

use super::{Case, more};
use crate::config::Code;

pub(super) const CASES: &[Case] = &[
    // People.
    ("[user.bob]\nid = 2", "[user.bob]\nid = 1", &[(Code::DuplicateUserId, "1")]),
    ("users = \"all\"", "users = [\"alise\", \"bob\"]", &[(Code::UnknownUser, "\"alise\"")]),
    ("users = \"all\"", "users = [\"alice\", \"alice\"]", &[(Code::DuplicateEntry, "\"alice\"")]),
    ("users = \"all\"", "users = []", &[(Code::UnusableAction, "[]")]),
    ("key = \"bob.key\"", "key = \"bob.key\"\nenabled = false", &[]),
    (
        "key = \"alice.key\"",
        "key = \"alice.key\"\nenabled = false",
        &[(Code::UnusableAction, "[\"alice\"]"), (Code::UnusableSequence, "db")],
    ),
    ("[user.bob]", "[user.carol]\nid = 3\nkey = \"root.key\"\n[user.bob]", &[]),
    ("[user.bob]\n", "[user.bob]\nadmin = 1\n", &[(Code::WrongType, "1")]),
    ("[user.bob]\n", "[user.bob]\ndebug = \"on\"\n", &[(Code::WrongType, "\"on\"")]),
    ("[user.bob]\n", "[user.bob]\nadmin = true\ndebug = true\ngroups = [\"ops\"]\nuses = 1\n", &[]),
    ("[user.bob]\n", "[user.bob]\nuses = 0\n", &[(Code::OutOfRange, "0")]),
    ("[user.bob]\n", "[user.bob]\ngroups = [\"o p\"]\n", &[(Code::BadName, "\"o p\"")]),
    ("[user.bob]\n", "[user.bob]\ngroups = [\"a\", \"a\"]\n", &[(Code::DuplicateEntry, "\"a\"")]),
    ("[user.bob]\n", "[user.bob]\nnot_before = 2030-01-01\n", &[(Code::BadTime, "2030-01-01")]),
    (
        "[user.bob]\n",
        "[user.bob]\nnot_before = 2030-01-01T01:00:00+01:00\nnot_after = 2030-01-01T00:00:00Z\n",
        &[(Code::NeverHolds, "2030-01-01T00:00:00Z")],
    ),
    ("[user.bob]\n", "[user.bob]\nnot_before = 2030-01-01T01:00:00+01:00\nnot_after = 2030-01-01T00:00:01Z\n", &[]),
    // Who may ask for an action.
    ("users = \"all\"", "", &[(Code::MissingKey, "ssh")]),
    ("id = 3\nusers = [\"alice\", \"bob\"]", "users = [\"alice\"]", &[(Code::MissingKey, "two")]),
    ("users = \"all\"", "groups = [\"ops\"]", &[(Code::UnknownGroup, "\"ops\"")]),
    ("users = \"all\"", "groups = []", &[(Code::UnusableAction, "[]")]),
    ("users = \"all\"", "groups = \"ops\"", &[(Code::WrongType, "\"ops\"")]),
    (
        "[user.bob]\nid = 2\nkey = \"bob.key\"\n[action.ssh]\nid = 1\nusers = \"all\"",
        "[user.bob]\nid = 2\nkey = \"bob.key\"\ngroups = [\"ops\"]\n[action.ssh]\nid = 1\ngroups = [\"ops\"]",
        &[],
    ),
    (
        "[user.bob]\nid = 2\nkey = \"bob.key\"\n[action.ssh]\nid = 1\nusers = \"all\"",
        "[user.bob]\nid = 2\nkey = \"bob.key\"\ngroups = [\"ops\"]\nenabled = false\n[action.ssh]\nid = 1\ngroups = [\"ops\"]",
        &[(Code::UnusableAction, "[\"ops\"]")],
    ),
    (
        "[user.bob]\nid = 2\nkey = \"bob.key\"\n[action.ssh]\nid = 1\nusers = \"all\"",
        "[user.bob]\nid = 2\nkey = \"bob.key\"\ngroups = [\"ops\"]\nenabled = false\n[action.ssh]\nid = 1\nusers = [\"alice\"]\ngroups = [\"ops\"]",
        &[],
    ),
    ("[sequence.db]", more!("[action.in]\nid = 4\nusers = \"all\"\nbuiltin = \"status\""), &[(Code::NoAdmin, "in")]),
    // When it may be asked for.
    ("users = \"all\"", "users = \"all\"\nhours = [\"mon-fri 08:00-18:00\", \"Sat,sun 9:00-24:00\"]", &[]),
    ("users = \"all\"", "users = \"all\"\nhours = [\"daily 22:00-06:00\", \"fri-mon 00:00-00:01\"]", &[]),
    ("users = \"all\"", "users = \"all\"\nhours = []", &[(Code::OutOfRange, "[]")]),
    (
        "users = \"all\"",
        "users = \"all\"\nhours = \"daily 08:00-18:00\"",
        &[(Code::WrongType, "\"daily 08:00-18:00\"")],
    ),
    ("users = \"all\"", "users = \"all\"\nhours = [\"08:00-18:00\"]", &[(Code::BadHours, "\"08:00-18:00\"")]),
    ("users = \"all\"", "users = \"all\"\nhours = [\"mo 08:00-18:00\"]", &[(Code::BadHours, "\"mo 08:00-18:00\"")]),
    ("users = \"all\"", "users = \"all\"\nhours = [\"mon- 08:00-18:00\"]", &[(Code::BadHours, "\"mon- 08:00-18:00\"")]),
    ("users = \"all\"", "users = \"all\"\nhours = [\"mon 8-18\"]", &[(Code::BadHours, "\"mon 8-18\"")]),
    ("users = \"all\"", "users = \"all\"\nhours = [\"mon 08:60-18:00\"]", &[(Code::BadHours, "\"mon 08:60-18:00\"")]),
    ("users = \"all\"", "users = \"all\"\nhours = [\"mon 08:00-24:01\"]", &[(Code::BadHours, "\"mon 08:00-24:01\"")]),
    ("users = \"all\"", "users = \"all\"\nhours = [\"mon 24:00-06:00\"]", &[(Code::BadHours, "\"mon 24:00-06:00\"")]),
    ("users = \"all\"", "users = \"all\"\nhours = [\"mon 08:00-08:00\"]", &[(Code::BadHours, "\"mon 08:00-08:00\"")]),
    ("users = \"all\"", "users = \"all\"\nhours = [\"mon 08:00-8:00 x\"]", &[(Code::BadHours, "\"mon 08:00-8:00 x\"")]),
    (
        "users = \"all\"",
        "users = \"all\"\nhours = [\"daily 8:00-9:00\", \"mon-sun 08:00-09:00\"]",
        &[(Code::DuplicateEntry, "\"mon-sun 08:00-09:00\"")],
    ),
    ("users = \"all\"", "users = \"all\"\nuses = 1_000_000_001", &[(Code::OutOfRange, "1_000_000_001")]),
    ("users = \"all\"", "users = \"all\"\nuses = 1_000_000_000\ndry_run = true", &[]),
    (
        "users = \"all\"",
        "users = \"all\"\nnot_after = 2030-01-01T00:00:00Z\nnot_before = 2030-01-02T00:00:00Z",
        &[(Code::NeverHolds, "2030-01-01T00:00:00Z")],
    ),
    ("users = \"all\"", "users = \"all\"\nnot_after = 2030-01-02T00:00:00Z\nnot_before = 2030-01-01T00:00:00Z", &[]),
    (
        "kind = \"step\"",
        "kind = \"step\"\nuses = 1\ndry_run = true",
        &[(Code::MisplacedKey, "uses"), (Code::MisplacedKey, "dry_run")],
    ),
    ("kind = \"step\"", "kind = \"step\"\nhours = [\"daily 08:00-18:00\"]\nnetworks = [\"::1\"]", &[]),
    // Time and place.
    ("[user.bob]\n", "[user.bob]\nnot_after = 2026-11-21T23:59:59Z\n", &[(Code::Expired, "bob")]),
    ("[user.bob]\n", "[user.bob]\nnot_after = 2026-11-22T00:00:01Z\n", &[]),
    ("[user.bob]\n", "[user.bob]\nenabled = false\nnot_after = 2020-01-01T00:00:00Z\n", &[]),
    ("users = \"all\"", "users = \"all\"\nnot_after = 2026-11-22T00:00:00Z", &[(Code::Expired, "ssh")]),
    (
        "[user.bob]\n",
        "[user.bob]\nnetworks = [\"10.0.0.0/8\", \"10.2.0.0/16\"]\n",
        &[(Code::ShadowedNetwork, "\"10.2.0.0/16\"")],
    ),
    (
        "id = 2\nkey = \"bob.key\"\n[action.ssh]\nid = 1\nusers = \"all\"",
        "id = 2\nkey = \"bob.key\"\nnetworks = [\"10.0.0.0/8\"]\n[action.ssh]\nid = 1\nusers = [\"bob\"]\nnetworks = [\"192.0.2.0/24\", \"::/0\"]",
        &[(Code::NoCommonNetwork, "ssh")],
    ),
    (
        "id = 2\nkey = \"bob.key\"\n[action.ssh]\nid = 1\nusers = \"all\"",
        "id = 2\nkey = \"bob.key\"\nnetworks = [\"10.0.0.0/8\"]\n[action.ssh]\nid = 1\nusers = [\"bob\"]\nnetworks = [\"10.9.0.0/16\"]",
        &[],
    ),
    (
        "id = 2\nkey = \"bob.key\"\n[action.ssh]\nid = 1\nusers = \"all\"",
        "id = 2\nkey = \"bob.key\"\nnetworks = [\"10.0.0.0/8\"]\n[action.ssh]\nid = 1\nusers = \"all\"\nnetworks = [\"192.0.2.0/24\"]",
        &[],
    ),
    ("grant = [\"tcp/22\"]", "grant = [\"tcp/22\"]\nttl = \"7d\"", &[]),
    ("grant = [\"tcp/22\"]", "grant = [\"tcp/22\"]\nttl = \"8d\"", &[(Code::LongGrant, "\"8d\"")]),
    ("grant = [\"tcp/22\"]", "grant = [\"tcp/22\"]\nttl = \"1h\"\nmax_ttl = \"30d\"", &[(Code::LongGrant, "\"30d\"")]),
    // Actions and sequences.
    ("id = 3", "id = 2", &[(Code::DuplicateActionId, "2")]),
    ("[\"one\", \"two\"]", "[\"one\"]", &[(Code::ShortSequence, "[\"one\"]")]),
    ("[\"one\", \"two\"]", "[\"one\", \"tow\"]", &[(Code::UnknownAction, "\"tow\"")]),
    ("[\"one\", \"two\"]", "[\"one\", \"one\", \"two\"]", &[(Code::RepeatedStep, "\"one\"")]),
    (
        "[\"one\", \"two\"]",
        "[\"one\", \"two\"]\n[sequence.again]\nsteps = [\"one\", \"ssh\"]",
        &[(Code::SharedStep, "\"one\"")],
    ),
    ("[\"one\", \"two\"]", "[\"ssh\", \"two\"]", &[(Code::OrphanStep, "one"), (Code::EffectBeforeEnd, "\"ssh\"")]),
    ("[\"one\", \"two\"]", "[\"two\", \"one\"]", &[(Code::EffectBeforeEnd, "\"two\""), (Code::NoEffect, "\"one\"")]),
    ("users = [\"alice\", \"bob\"]", "users = [\"bob\"]", &[(Code::UnusableSequence, "db")]),
    (
        "kind = \"step\"\n[action.two]",
        "kind = \"step\"\nnetworks = [\"10.0.0.0/8\"]\n[action.two]\nnetworks = [\"192.0.2.0/24\"]",
        &[(Code::UnusableSequence, "db")],
    ),
    (
        "kind = \"step\"\n[action.two]",
        "kind = \"step\"\nnetworks = [\"10.0.0.0/8\"]\n[action.two]\nnetworks = [\"10.1.2.3\"]",
        &[],
    ),
    (
        "kind = \"step\"\n[action.two]",
        "kind = \"step\"\nhours = [\"mon 08:00-09:00\"]\n[action.two]\nhours = [\"mon 11:00-12:00\", \"sun 22:00-08:00\"]",
        &[(Code::UnusableSequence, "db")],
    ),
    (
        "kind = \"step\"\n[action.two]",
        "kind = \"step\"\nhours = [\"mon 08:00-09:00\"]\n[action.two]\nhours = [\"mon 09:00-10:00\"]",
        &[],
    ),
    (
        "kind = \"step\"\n[action.two]",
        "kind = \"step\"\nhours = [\"sun 23:00-24:00\"]\n[action.two]\nhours = [\"mon 00:00-01:00\"]",
        &[],
    ),
    (
        "kind = \"step\"\n[action.two]",
        "kind = \"step\"\nnot_before = 2030-01-02T00:00:00Z\n[action.two]\nnot_after = 2030-01-01T00:00:00Z",
        &[(Code::UnusableSequence, "db")],
    ),
    (
        "kind = \"step\"\n[action.two]",
        "kind = \"step\"\nnot_before = 2029-12-31T00:00:00Z\n[action.two]\nnot_after = 2030-01-01T00:00:00Z",
        &[],
    ),
    ("[sequence.db]\nsteps = [\"one\", \"two\"]", "", &[(Code::OrphanStep, "one")]),
];
