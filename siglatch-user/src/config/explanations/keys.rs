//! Explanations of findings about key files. Never looks for one.

use super::{Explanation, of};
use crate::config::finding::Code;

pub(super) const EXPLANATIONS: &[Explanation] = &[
    of(
        Code::KeyFileMissing,
        "There is no such key file. Paths count from the folder of the configuration.",
        "[user.bob]\nid = 2\nkey = \"none.key\"\n",
        "[user.bob]\nid = 2\nkey = \"bob.key\"\n",
    ),
    of(
        Code::KeyFileUnreadable,
        "The key file could not be read: it is a folder, much too large, or not for the user who reads it.",
        "[user.bob]\nid = 2\nkey = \"forbidden.key\" # another user's, mode 0600\n",
        "[user.bob]\nid = 2\nkey = \"bob.key\"\n",
    ),
    of(
        Code::KeyFileExposed,
        "Others may read or write the key file. Whoever has read a user's key can knock as that user; whoever has read the \
         server's can read all sealed knocks. Only root's group for the daemon may read it as well, mode 0640.",
        "[user.bob]\nid = 2\nkey = \"world.key\" # mode 0604\n",
        "[user.bob]\nid = 2\nkey = \"bob.key\" # mode 0600\n",
    ),
    of(
        Code::KeyFileOwner,
        "The key file belongs to somebody who is neither root nor the one who reads it. They could read it, and put \
         another in its place.",
        "[user.bob]\nid = 2\nkey = \"stranger.key\" # of user 1000\n",
        "[user.bob]\nid = 2\nkey = \"bob.key\" # of root\n",
    ),
    of(
        Code::KeyFileMalformed,
        "The file holds no such key. A user's is 32 raw bytes or 64 hex digits, a gate key half of it, the server's an \
         RSA-2048 key in PKCS#8 PEM.",
        "[user.bob]\nid = 2\nkey = \"empty.key\"\n",
        "[user.bob]\nid = 2\nkey = \"bob.key\"\n",
    ),
    of(
        Code::KeyFileClosed,
        "The daemon becomes a user of its own after its start, who may not read these key files again: as soon as one \
         has changed, no reload would succeed. They belong to root and to that user's group, mode 0640.",
        "[daemon]\nuser = \"gate\"\n[keys]\nserver = \"server.key\" # root's, mode 0600\n",
        "[daemon]\nuser = \"gate\"\n[keys]\nserver = \"server/daemon.key\" # root's with the daemon's group, mode 0640\n",
    ),
    of(
        Code::ShortServerKey,
        "The server's key is an RSA key of less than 2048 bits, which can be broken with much computing. Make another one; \
         its public half goes to all clients.",
        "[keys]\nserver = \"short.key\" # RSA-1024\n",
        "[keys]\nserver = \"server.key\" # RSA-2048\n",
    ),
    of(
        Code::SharedKey,
        "Two users have one key: either could pass for the other, and nobody could tell afterwards who it was. Shutting \
         one out would leave the key in use.",
        "[user.alice]\nid = 1\nkey = \"alice.key\"\n[user.bob]\nid = 2\nkey = \"alice.key\"\n",
        "[user.alice]\nid = 1\nkey = \"alice.key\"\n[user.bob]\nid = 2\nkey = \"bob.key\"\n",
    ),
];
