//! Explanations of findings about this host: ports, gate keys, interfaces, the daemon itself. Never looks for one.

use super::{Explanation, of};
use crate::config::finding::Code;

pub(super) const EXPLANATIONS: &[Explanation] = &[
    of(
        Code::NoPort,
        "There is no knock port, so nobody could be heard.",
        "[gateway]\nhost = \"gw.example.org\"\n",
        "[[port]]\nport = 62201\n",
    ),
    of(
        Code::DuplicatePort,
        "Two knock ports have one number. A port takes one wire, because the kernel tells knocks by their length.",
        "[[port]]\nport = 62201\n[[port]]\nport = 62201\n",
        "[[port]]\nport = 62201\n[[port]]\nport = 62202\n",
    ),
    of(
        Code::TooManyPorts,
        "There are more knock ports than the kernel's table holds, which are sixteen. One is enough for most; a second \
         one is for another wire.",
        "[[port]]\nport = 62201\n# and sixteen more\n",
        "[[port]]\nport = 62201\n",
    ),
    of(
        Code::ClearWire,
        "Knocks on this port can be read by everyone on the path, and the port is on a public address. The signature still \
         keeps others out, but who knocks for what is there for all to see. Behind a VPN it is harmless.",
        "[[port]]\nport = 62201\nwire = \"clear\"\n",
        "[[port]]\nport = 62201\nwire = \"sealed\"\n",
    ),
    of(
        Code::NoGateKey,
        "A port is stamped, and there is no gate key to tell a stamp by: nobody could be heard there.",
        "[[port]]\nport = 62201\nwire = \"stamped\"\n",
        "[[port]]\nport = 62201\nwire = \"stamped\"\n[[gate_key]]\nnumber = 0\nfile = \"gate-0.key\"\n",
    ),
    of(
        Code::DuplicateGateKey,
        "Two gate keys have one number, and the number is how a stamp says which one it was made with.",
        "[[port]]\nport = 62201\nwire = \"stamped\"\n[[gate_key]]\nnumber = 0\nfile = \"gate-0.key\"\n[[gate_key]]\nnumber \
         = 0\nfile = \"gate-1.key\"\n",
        "[[port]]\nport = 62201\nwire = \"stamped\"\n[[gate_key]]\nnumber = 0\nfile = \"gate-0.key\"\n[[gate_key]]\nnumber \
         = 1\nfile = \"gate-1.key\"\n",
    ),
    of(
        Code::SharedGateKey,
        "The same key stands under two numbers. Taking one of them out would not take its stamps out, which is what \
         numbers are for.",
        "[[port]]\nport = 62201\nwire = \"stamped\"\n[[gate_key]]\nnumber = 0\nfile = \"gate-0.key\"\n[[gate_key]]\nnumber \
         = 1\nfile = \"gate-0.key\"\n",
        "[[port]]\nport = 62201\nwire = \"stamped\"\n[[gate_key]]\nnumber = 0\nfile = \"gate-0.key\"\n[[gate_key]]\nnumber \
         = 1\nfile = \"gate-1.key\"\n",
    ),
    of(
        Code::UnusedGateKey,
        "There is a gate key, and no knock port is stamped. Junk is then not dropped by the kernel, as was probably meant.",
        "[[port]]\nport = 62201\n[[gate_key]]\nnumber = 0\nfile = \"gate-0.key\"\n",
        "[[port]]\nport = 62201\nwire = \"stamped\"\n[[gate_key]]\nnumber = 0\nfile = \"gate-0.key\"\n",
    ),
    of(
        Code::NoInterface,
        "Nothing says which interface to watch. The daemon does not start unless its command line does.",
        "[ingress]\ninterfaces = []\n",
        "[ingress]\ninterfaces = [\"eth0\"]\n",
    ),
    of(
        Code::UnknownAccount,
        "This machine has no user or group of that name, so nobody is let in by it. It is no error, so that an account \
         that is gone cannot keep the daemon from starting.",
        "[admin]\noperators = [\"dave\"]\n",
        "[admin]\noperators = [\"carol\", \"@adm\"]\n",
    ),
    of(
        Code::NoDaemonUser,
        "The daemon is to become a user that this machine does not have. It does not start rather than stay root.",
        "[daemon]\nuser = \"gatekeeper\"\n",
        "[daemon]\nuser = \"gate\"\n",
    ),
    of(
        Code::DaemonAsRoot,
        "The daemon stays root after it has opened everything. A hole in it would then be a hole in the whole machine; as \
         a user of its own it has one capability, and sees next to nothing.",
        "[daemon]\nuser = \"root\"\n",
        "[daemon]\nuser = \"gate\"\n",
    ),
    of(
        Code::PublicMetrics,
        "Figures would be to be had from other machines. They say when and how this host is knocked at, and nothing asks \
         for a password.",
        "[metrics]\nlisten = \"0.0.0.0:9707\"\n",
        "[metrics]\nlisten = \"127.0.0.1:9707\"\n",
    ),
    of(
        Code::SharedSocket,
        "Two sockets of the daemon have one path. Only the last one would be reached.",
        "[admin]\nsocket = \"/run/siglatch/admin.sock\"\nobserver_socket = \"/run/siglatch/admin.sock\"\n",
        "[admin]\nsocket = \"/run/siglatch/admin.sock\"\nobserver_socket = \"/run/siglatch/observe.sock\"\n",
    ),
    of(
        Code::NoAudit,
        "Nobody writes down who was let in and what was done for them. After a break-in that is the first question; the \
         log's size is bounded.",
        "[audit]\nenabled = false\n",
        "[audit]\nsize = \"64M\"\nkeep = 12\n",
    ),
    of(
        Code::WeakMode,
        "Others may write a file or folder by which somebody is let in or banned: the configuration, a blacklist, or a \
         folder of keys. Whoever can write the configuration can start programs as any user. The example is a \
         file that everybody may write.",
        "[blacklist]\nfiles = [\"by-all.txt\"] # mode 0646\n",
        "[blacklist]\nfiles = [\"banned.txt\"] # mode 0644\n",
    ),
];
