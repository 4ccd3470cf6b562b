//! Explanations of findings about users. Never looks for one.

use super::{Explanation, of};
use crate::config::finding::Code;

pub(super) const EXPLANATIONS: &[Explanation] = &[
    of(
        Code::NoUsers,
        "Nobody may knock yet. A daemon that lets nobody in, and closes what is protected, locks its operator out.",
        "[gateway]\nhost = \"gw.example.org\"\n",
        "[user.alice]\nid = 1\nkey = \"alice.key\"\n[user.bob]\nid = 2\nkey = \"bob.key\"\n",
    ),
    of(
        Code::DuplicateUserId,
        "Two users have one number, and the number is what a knock says who it is from.",
        "[user.alice]\nid = 1\nkey = \"alice.key\"\n[user.bob]\nid = 1\nkey = \"bob.key\"\n",
        "[user.alice]\nid = 1\nkey = \"alice.key\"\n[user.bob]\nid = 2\nkey = \"bob.key\"\n",
    ),
    of(
        Code::IdleUser,
        "A user may ask for nothing: no action names them, or a group that they are in.",
        "[action.ssh]\nid = 1\nusers = [\"alice\"]\ngrant = [\"tcp/22\"]\n[action.two]\nid = 3\nusers = \
         [\"alice\"]\ngrant = [\"udp/500\"]\n",
        "[action.ssh]\nid = 1\nusers = [\"alice\", \"bob\"]\ngrant = [\"tcp/22\"]\n",
    ),
    of(
        Code::UnknownUser,
        "An action names a user that there is not. With a slip in a name, the one who was meant would be shut out.",
        "[action.ssh]\nid = 1\nusers = [\"alise\", \"bob\"]\ngrant = [\"tcp/22\"]\n",
        "[action.ssh]\nid = 1\nusers = [\"alice\", \"bob\"]\ngrant = [\"tcp/22\"]\n",
    ),
    of(
        Code::UnknownGroup,
        "An action names a group that no user is in. Groups are declared by those who are in them.",
        "[action.ssh]\nid = 1\ngroups = [\"opps\"]\nusers = \"all\"\ngrant = [\"tcp/22\"]\n",
        "[user.bob]\nid = 2\nkey = \"bob.key\"\ngroups = [\"ops\"]\n[action.ssh]\nid = 1\nusers = [\"alice\"]\ngroups = \
         [\"ops\"]\ngrant = [\"tcp/22\"]\n",
    ),
    of(
        Code::NoAdmin,
        "What an action asks of the daemon is for admins, and none of its users is one: nobody may use it.",
        "[action.how]\nid = 4\nusers = [\"alice\"]\nbuiltin = \"status\"\n",
        "[user.alice]\nid = 1\nkey = \"alice.key\"\nadmin = true\n[action.how]\nid = 4\nusers = [\"alice\"]\nbuiltin = \
         \"status\"\n",
    ),
    of(
        Code::NoCommonNetwork,
        "A user may knock from some networks, an action may be asked for from others, and they have nothing in common: no \
         such knock is ever admitted.",
        "[user.bob]\nid = 2\nkey = \"bob.key\"\nnetworks = [\"10.0.0.0/8\"]\n[action.ssh]\nid = 1\nusers = \
         [\"bob\"]\nnetworks = [\"192.168.0.0/16\"]\ngrant = [\"tcp/22\"]\n",
        "[user.bob]\nid = 2\nkey = \"bob.key\"\nnetworks = [\"10.0.0.0/8\"]\n[action.ssh]\nid = 1\nusers = \
         [\"bob\"]\nnetworks = [\"10.7.0.0/16\"]\ngrant = [\"tcp/22\"]\n",
    ),
];
