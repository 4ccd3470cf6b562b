//! Explanations of findings about actions, what they open, and programs. Never looks for one.

use super::{Explanation, of};
use crate::config::finding::Code;

pub(super) const EXPLANATIONS: &[Explanation] = &[
    of(
        Code::DuplicateActionId,
        "Two actions have one number, and the number is what a knock asks for.",
        "[action.ssh]\nid = 3\nusers = \"all\"\ngrant = [\"tcp/22\"]\n[action.two]\nid = 3\nusers = \"all\"\ngrant = \
         [\"udp/500\"]\n",
        "[action.ssh]\nid = 1\nusers = \"all\"\ngrant = [\"tcp/22\"]\n[action.two]\nid = 3\nusers = \"all\"\ngrant = \
         [\"udp/500\"]\n",
    ),
    of(
        Code::UnusableAction,
        "Nobody may use the action: it names nobody, or all of its users are disabled. Whatever it opens stays closed.",
        "[action.ssh]\nid = 1\nusers = []\ngrant = [\"tcp/22\"]\n",
        "[action.ssh]\nid = 1\nusers = [\"alice\"]\ngrant = [\"tcp/22\"]\n",
    ),
    of(
        Code::TtlOverMax,
        "A grant usually lasts longer than it may last at most. One of the two is not what was meant.",
        "[action.ssh]\nid = 1\nusers = \"all\"\ngrant = [\"tcp/22\"]\nttl = \"2h\"\nmax_ttl = \"1h\"\n",
        "[action.ssh]\nid = 1\nusers = \"all\"\ngrant = [\"tcp/22\"]\nttl = \"1h\"\nmax_ttl = \"2h\"\n",
    ),
    of(
        Code::LongGrant,
        "A grant may last for more than a week. A port that stays open for so long is hardly closed: whoever gets that \
         address next is let in, too. Open connections outlive their grant anyway.",
        "[action.ssh]\nid = 1\nusers = \"all\"\ngrant = [\"tcp/22\"]\nttl = \"30d\"\n",
        "[action.ssh]\nid = 1\nusers = \"all\"\ngrant = [\"tcp/22\"]\nttl = \"8h\"\n",
    ),
    of(
        Code::UnprotectedService,
        "An action opens a service that nothing closes: everybody reaches it without a knock.",
        "[firewall]\nprotect = [\"udp/500\"]\n[action.ssh]\nid = 1\nusers = \"all\"\ngrant = [\"tcp/22\"]\n",
        "[firewall]\nprotect = [\"tcp/22\", \"udp/500\"]\n[action.ssh]\nid = 1\nusers = \"all\"\ngrant = [\"tcp/22\"]\n",
    ),
    of(
        Code::NeverOpened,
        "A service is closed, and no action opens it: nobody reaches it any more, its operator included.",
        "[firewall]\nprotect = [\"tcp/22\", \"tcp/2222\", \"udp/500\"]\n",
        "[firewall]\nprotect = [\"tcp/22\", \"udp/500\"]\n",
    ),
    of(
        Code::NoSet,
        "In mode = \"sets\" grants go into sets of your own, and there is none for what this action opens.",
        "[firewall]\nmode = \"sets\"\ntable = \"filter\"\nset_forward_v4 = \"behind\"\n",
        "[firewall]\nmode = \"sets\"\ntable = \"filter\"\nset_v4 = \"here\"\n",
    ),
    of(
        Code::ProtectedKnockPort,
        "A protected service is a knock port. Knocks are taken before the network stack sees them, so nothing can listen \
         there.",
        "[[port]]\nport = 500\n[firewall]\nprotect = [\"tcp/22\", \"udp/500\"]\n",
        "[[port]]\nport = 62201\n[firewall]\nprotect = [\"tcp/22\", \"udp/500\"]\n",
    ),
    of(
        Code::PortClash,
        "A port that leads to a host behind this one is protected as this host's own as well, or leads to two hosts of one IP \
         version. It can be one thing only, and is closed to whoever is not granted it in any case.",
        "[firewall]\nprotect = [\"tcp/22\", \"udp/500\"]\ndnat = [\"tcp/22 -> 10.0.0.5:22\"]\n",
        "[firewall]\nprotect = [\"udp/500\"]\ndnat = [\"tcp/22 -> 10.0.0.5:22\"]\n",
    ),
    of(
        Code::UnknownAction,
        "There is no action of that name.",
        "[action.leave]\nid = 4\nusers = \"all\"\nrevoke = [\"shs\"]\n",
        "[action.leave]\nid = 4\nusers = \"all\"\nrevoke = [\"ssh\"]\n",
    ),
    of(
        Code::WrongKind,
        "The action that is named is of a kind that does not fit: only programs can undo, only what opened something can \
         be revoked.",
        "[action.leave]\nid = 4\nusers = \"all\"\nrevoke = [\"one\"]\n",
        "[action.leave]\nid = 4\nusers = \"all\"\nrevoke = [\"ssh\"]\n",
    ),
    of(
        Code::FailureCircle,
        "A program would run when itself fails, and fail, and run again, for ever.",
        "[action.run]\nid = 4\nusers = \"all\"\nexec = [\"/bin/run\"]\nrun_as = \"nobody\"\non_failure = \"run\"\n",
        "[action.run]\nid = 4\nusers = \"all\"\nexec = [\"/bin/run\"]\nrun_as = \"nobody\"\non_failure = \
         \"alarm\"\n[action.alarm]\nexec = [\"/bin/alarm\"]\nrun_as = \"nobody\"\n",
    ),
    of(
        Code::UnusedProgram,
        "Nothing starts the program: no knock can ask for it, and no action names it.",
        "[action.alarm]\nexec = [\"/bin/alarm\"]\nrun_as = \"nobody\"\n",
        "[action.run]\nid = 4\nusers = \"all\"\nexec = [\"/bin/run\"]\nrun_as = \"nobody\"\non_failure = \
         \"alarm\"\n[action.alarm]\nexec = [\"/bin/alarm\"]\nrun_as = \"nobody\"\n",
    ),
    of(
        Code::UnfitProgram,
        "This machine would not start the program as it is: it is not there, its user is not, or others may write it. \
         Everything else works; each knock for it is audited as not started.",
        "[action.run]\nid = 4\nusers = \"all\"\nexec = [\"/usr/local/bin/no-such-program\"]\nrun_as = \"nobody\"\n",
        "[action.run]\nid = 4\nusers = \"all\"\nexec = [\"/bin/true\"]\nrun_as = \"nobody\"\n",
    ),
    of(
        Code::RunsAsRoot,
        "A program that knocks start runs as root. What it does wrong, it may do everywhere, and no limit on processes \
         holds for it.",
        "[action.run]\nid = 4\nusers = \"all\"\nexec = [\"/bin/run\"]\nrun_as = \"root\"\n",
        "[action.run]\nid = 4\nusers = \"all\"\nexec = [\"/bin/run\"]\nrun_as = \"siglatch-run\"\n",
    ),
    of(
        Code::AtOnceOverAll,
        "A program may run more often at once than all programs together may. The smaller number holds.",
        "[action.run]\nid = 4\nusers = \"all\"\nexec = [\"/bin/run\"]\nrun_as = \"nobody\"\nat_once = 20\n",
        "[exec]\nat_once = 20\n[action.run]\nid = 4\nusers = \"all\"\nexec = [\"/bin/run\"]\nrun_as = \"nobody\"\nat_once \
         = 20\n",
    ),
];
