//! The examples and the exit statuses below every `--help`. Never parsed.

pub(super) const HELP: &str = "\
Examples:
  siglatch import gateway-alice.toml    keep what the gateway's operator gave you
  siglatch list                         see what it lets you ask for
  siglatch knock gateway ssh            ask for it
  ssh gateway                           and use it

A gateway never answers a knock: `sent` means that the datagram left this machine.
Profiles are files of mode 0600 in $XDG_CONFIG_HOME/siglatch, by default ~/.config/siglatch.

Exit status: 0 sent or done, 1 failed, 64 the command line is wrong, 77 the system forbids it,
78 a profile or a key is unsound.
With --json every result and failure is one object a line on standard output (all but a
command line that is wrong); its `event` is sent,
dry_run, imported, profile, key or error. Remarks and failures for people are on standard error.";

pub(super) const KNOCK_HELP: &str = "\
Examples:
  siglatch knock gateway ssh
  siglatch knock gateway ssh --ttl 10m -6
  siglatch knock gateway ssh --dry-run
  siglatch knock --host gw.example.net --server-key server.pub.pem --hmac-key alice.key --user-id 1 --action-id 1
  siglatch knock --host gw.example.net --server-key server.pub.pem --hmac-key alice.key --user-id 1 --action-id 1 \
--wire stamped --gate-key gate-0.key --gate-key-number 0

Exit status: 0 sent (no gateway ever says more), 1 not sent, 64 the command line is wrong.";

pub(super) const SEQUENCE_HELP: &str = "\
Examples:
  siglatch sequence gateway vault
  siglatch sequence gateway --steps first,second,third --gap 500ms
  siglatch sequence --host gw.example.net --server-key server.pub.pem --hmac-key alice.key --user-id 1 --steps 4,5,6

--ttl, --source and --payload go with the last step: it is the one that has an effect.

Exit status: 0 all steps sent, 1 not all, 64 the command line is wrong.";

pub(super) const IMPORT_HELP: &str = "\
Examples:
  siglatch import gateway-alice.toml
  siglatch import --name office gateway-alice.toml
  ssh admin@gateway cat alice.toml | siglatch import -

The profile is stored with mode 0600. The file holds your key: delete it afterwards.

Exit status: 0 stored, 1 not stored, 64 the command line is wrong.";

pub(super) const LIST_HELP: &str = "\
Examples:
  siglatch list
  siglatch list --json

Exit status: 0 all profiles are sound, 1 some are not, 64 the command line is wrong.";

pub(super) const KEYGEN_HELP: &str = "\
Examples:
  siglatch keygen --out alice.key
  siglatch keygen --out - | ssh admin@gateway 'umask 077; cat > alice.key'

The file holds 64 hex digits, has mode 0600 and is never overwritten.

Exit status: 0 made, 1 not made, 64 the command line is wrong.";

pub(super) const MAN_HELP: &str = "\
Examples:
  siglatch man --dir /usr/local/share/man/man1

Exit status: 0 written, 1 not written, 64 the command line is wrong.";

pub(super) const COMPLETIONS_HELP: &str = "\
Examples:
  siglatch completions bash >~/.local/share/bash-completion/completions/siglatch
  siglatch completions zsh >/usr/local/share/zsh/site-functions/_siglatch
  siglatch completions fish >~/.config/fish/completions/siglatch.fish

Exit status: 0 printed, 1 not printed, 64 the command line is wrong.";
