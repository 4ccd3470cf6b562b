//! Explanations of findings about syntax, keys and single values. Never looks for one.

use super::{Explanation, of};
use crate::config::finding::Code;

pub(super) const EXPLANATIONS: &[Explanation] = &[
    of(
        Code::Syntax,
        "The text is no TOML. Nothing else is judged until it is, because what its author meant would be guesswork.",
        "[user.bob]\nid = \nkey = \"bob.key\"\n",
        "[user.bob]\nid = 2\nkey = \"bob.key\"\n",
    ),
    of(
        Code::UnknownKey,
        "siglatch knows no such key or table. It is an error, not a warning: a rule with a slip in its name would \
         silently not hold.",
        "[gateway]\nhots = \"gw.example.org\"\nhost = \"gw.example.org\"\n",
        "[gateway]\nhost = \"gw.example.org\"\n",
    ),
    of(
        Code::WrongType,
        "The value is of another type than the key takes, such as a text where a number is due, or one text where a list \
         is.",
        "[action.ssh]\nid = 1\nusers = \"alice\"\ngrant = [\"tcp/22\"]\n",
        "[action.ssh]\nid = 1\nusers = [\"alice\"]\ngrant = [\"tcp/22\"]\n",
    ),
    of(
        Code::MissingKey,
        "A key that the table needs is not there. siglatch guesses nothing that decides who is let in.",
        "[user.bob]\nid = 2\n",
        "[user.bob]\nid = 2\nkey = \"bob.key\"\n",
    ),
    of(
        Code::MisplacedKey,
        "The key means nothing beside the mode or kind that was chosen. It is an error because whoever wrote it expects \
         it to hold.",
        "[action.one]\nid = 2\nusers = [\"alice\"]\nkind = \"step\"\nttl = \"10m\"\n",
        "[action.one]\nid = 2\nusers = [\"alice\"]\nkind = \"step\"\n",
    ),
    of(
        Code::UnknownChoice,
        "Only some words may stand here, and this is none of them.",
        "[[port]]\nport = 62201\nwire = \"encrypted\"\n",
        "[[port]]\nport = 62201\nwire = \"sealed\"\n",
    ),
    of(
        Code::OutOfRange,
        "A number, a time or a list is outside its bounds. The bounds are those of the protocol, of the kernel's tables, \
         or of what makes sense.",
        "[knock]\nmax_skew = \"1h\"\n",
        "[knock]\nmax_skew = \"60s\"\n",
    ),
    of(
        Code::BadName,
        "A name or path has characters that logs, nftables or the system would not take. Names are 1 to 32 of A-Z a-z \
         0-9 . _ - and begin with a letter or a digit.",
        "[gateway]\nname = \"my gateway\"\nhost = \"gw.example.org\"\n",
        "[gateway]\nname = \"my-gateway\"\nhost = \"gw.example.org\"\n",
    ),
    of(
        Code::BadDuration,
        "This is no length of time. One is written as digits and a unit, s, m, h or d; a bare number would be read as \
         seconds by one person and as minutes by the next.",
        "[knock]\nmax_skew = \"60\"\n",
        "[knock]\nmax_skew = \"60s\"\n",
    ),
    of(
        Code::BadTime,
        "This is no moment: it lacks a date, a time or a zone. Without a zone nobody could tell when exactly somebody's \
         access ends.",
        "[user.bob]\nid = 2\nkey = \"bob.key\"\nnot_after = 2030-01-01\n",
        "[user.bob]\nid = 2\nkey = \"bob.key\"\nnot_after = 2030-01-01T00:00:00Z\n",
    ),
    of(
        Code::BadNetwork,
        "This is no network. Often a host's address stands where its network is meant: bits behind the prefix must be \
         zero, so that it is clear which of the two it is.",
        "[allow]\nnetworks = [\"10.1.2.3/8\"]\n",
        "[allow]\nnetworks = [\"10.0.0.0/8\"]\n",
    ),
    of(
        Code::BadService,
        "This is no service. One is a protocol and a port, tcp/22; behind this host also an address, tcp/22@10.0.0.5.",
        "[firewall]\nprotect = [\"22\", \"tcp/22\", \"udp/500\"]\n",
        "[firewall]\nprotect = [\"tcp/22\", \"udp/500\"]\n",
    ),
    of(
        Code::BadAddress,
        "This is not the address of one host. Networks, loopback and multicast addresses cannot stand here.",
        "[debug]\nsources = [\"10.0.0.0/8\"]\n",
        "[debug]\nsources = [\"10.0.0.5\"]\n",
    ),
    of(
        Code::BadSize,
        "This is no number of bytes. One is written as digits and a unit, K, M, G or T, each 1024 of the one before.",
        "[audit]\nsize = \"64MB\"\n",
        "[audit]\nsize = \"64M\"\n",
    ),
    of(
        Code::BadListener,
        "Nothing can listen there. Figures are to be had at an address and a port, or at a Unix socket.",
        "[metrics]\nlisten = \"localhost:9707\"\n",
        "[metrics]\nlisten = \"127.0.0.1:9707\"\n",
    ),
    of(
        Code::BadHours,
        "These are no hours of the week. They are written as days, a space, and a time from and to.",
        "[action.ssh]\nid = 1\nusers = \"all\"\ngrant = [\"tcp/22\"]\nhours = [\"mon-fri 8-18\"]\n",
        "[action.ssh]\nid = 1\nusers = \"all\"\ngrant = [\"tcp/22\"]\nhours = [\"mon-fri 08:00-18:00\"]\n",
    ),
    of(
        Code::UnknownZone,
        "This machine does not know the time zone. Hours of the week would be those of nowhere; the package tzdata brings \
         the zones.",
        "[gateway]\nhost = \"gw.example.org\"\ntime_zone = \"Europe/Bonn\"\n",
        "[gateway]\nhost = \"gw.example.org\"\ntime_zone = \"Europe/Berlin\"\n",
    ),
    of(
        Code::NotAbsolute,
        "The path does not begin with a slash. A program would have to be searched for, and somebody else could put \
         theirs where it is found first.",
        "[action.run]\nid = 4\nusers = \"all\"\nexec = [\"run\"]\nrun_as = \"nobody\"\n",
        "[action.run]\nid = 4\nusers = \"all\"\nexec = [\"/usr/local/bin/run\"]\nrun_as = \"nobody\"\n",
    ),
    of(
        Code::NeverHolds,
        "These rules can never hold together, such as a time that is over before it begins. Nobody would ever be \
         admitted.",
        "[user.bob]\nid = 2\nkey = \"bob.key\"\nnot_before = 2030-01-01T00:00:00Z\nnot_after = 2029-01-01T00:00:00Z\n",
        "[user.bob]\nid = 2\nkey = \"bob.key\"\nnot_before = 2029-01-01T00:00:00Z\nnot_after = 2030-01-01T00:00:00Z\n",
    ),
    of(
        Code::DuplicateEntry,
        "The same stands in a list twice. It does no harm, but often another entry was meant.",
        "[firewall]\nprotect = [\"tcp/22\", \"tcp/22\", \"udp/500\"]\n",
        "[firewall]\nprotect = [\"tcp/22\", \"udp/500\"]\n",
    ),
    of(
        Code::ShadowedNetwork,
        "A network lies in another one of the same list, so it adds nothing. Whoever takes it out later to shut somebody \
         out shuts out nobody.",
        "[user.bob]\nid = 2\nkey = \"bob.key\"\nnetworks = [\"10.0.0.0/8\", \"10.1.0.0/16\"]\n",
        "[user.bob]\nid = 2\nkey = \"bob.key\"\nnetworks = [\"10.1.0.0/16\"]\n",
    ),
    of(
        Code::Expired,
        "The time of a user or an action is over: no such knock is admitted any more. It is either forgotten, or should \
         be longer.",
        "[user.bob]\nid = 2\nkey = \"bob.key\"\nnot_after = 2020-01-01T00:00:00Z\n",
        "[user.bob]\nid = 2\nkey = \"bob.key\"\nnot_after = 2099-01-01T00:00:00Z\n",
    ),
];
