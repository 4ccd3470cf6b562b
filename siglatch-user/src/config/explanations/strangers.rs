//! Explanations of findings about strangers: limits, lanes, bans, the allow list. Never looks for one.

use super::{Explanation, of};
use crate::config::finding::Code;

pub(super) const EXPLANATIONS: &[Explanation] = &[
    of(
        Code::NoRate,
        "There is no limit on what one source may send. A single host can then use up the private key's time, and no flood \
         earns a ban.",
        "[limits]\nrate = 0\n",
        "[limits]\nrate = 10\n",
    ),
    of(
        Code::NoBudget,
        "There is no limit on what all strangers together may send to the private key. Rates hold back single sources; a \
         flood from many forged ones is held back by the budget alone.",
        "[lane.unknown]\nbudget = 0\n",
        "[lane.unknown]\nbudget = 200\n",
    ),
    of(
        Code::NoCopies,
        "Copies of a datagram are not told from it. Whoever has recorded one knock can then send it again and again, and \
         each costs a use of the private key; none is admitted twice.",
        "[limits]\ncopies = 0\n",
        "[limits]\ncopies = 65536\n",
    ),
    of(
        Code::NoBans,
        "The daemon bans nobody, whatever they send. Everything that a scanner sends is then looked at for good.",
        "[ban]\nstrikes = 0\nflood = 0\n",
        "[ban]\nstrikes = 5\nflood = 1000\n",
    ),
    of(
        Code::NotPowerOfTwo,
        "The kernel finds a place by masking bits of a hash, and its rings are made of whole pages: both come in powers of \
         two alone.",
        "[limits]\nsources = 100_000\n",
        "[limits]\nsources = 131_072\n",
    ),
    of(
        Code::SharesOverAll,
        "The lanes are to be sure of more than all key operations together. Nobody can be promised more than there is.",
        "[lane.stamped]\nshare = 60\n[lane.known]\nshare = 50\n",
        "[lane.stamped]\nshare = 60\n[lane.known]\nshare = 30\n",
    ),
    of(
        Code::EverybodyAllowed,
        "Everybody is on the allow list, so that bans and limits are for nobody.",
        "[allow]\nnetworks = [\"0.0.0.0/0\"]\n",
        "[allow]\nnetworks = [\"10.0.0.0/8\"]\n",
    ),
    of(
        Code::StepsNotRising,
        "A second ban is no longer than the first. Whoever comes back would gain by it.",
        "[ban]\nsteps = [\"1h\", \"30m\"]\n",
        "[ban]\nsteps = [\"30m\", \"1h\"]\n",
    ),
    of(
        Code::FloodWithoutRate,
        "A flood is what a source sends over its rate, and there is none: no flood earns a ban.",
        "[limits]\nrate = 0\n[ban]\nflood = 1000\n",
        "[limits]\nrate = 10\n[ban]\nflood = 1000\n",
    ),
    of(
        Code::HostScope,
        "A ban shuts a source out of everything, and nobody is exempt. Sources of UDP can be forged: somebody could have \
         you banned from your own host. List your own networks under [allow].",
        "[ban]\nscope = \"host\"\n",
        "[ban]\nscope = \"host\"\n[allow]\nnetworks = [\"10.0.0.0/8\"]\n",
    ),
];
