//! What single texts of the configuration mean: names, times, networks, services. Never sees more than one text.

use std::net::IpAddr;
use std::time::Duration;

use siglatch_common::address::{Address, Network, NetworkFlaw};
use siglatch_common::units::Wall;
use toml::value::{Date, Datetime, Offset};

use super::finding::Code;
use crate::policy::{Door, DoorFlaw, PortForward, PortForwardFlaw, Service, ServiceFlaw};

/// Why a text is not what should stand in its place.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Flaw {
    pub(super) code: Code,
    pub(super) message: String,
    pub(super) help: String,
}

/// The name of a user, an action, a sequence or the gateway: 1 to 32 of `A-Z a-z 0-9 . _ -`, letter or digit first.
/// So it fits into an nftables comment, a log line and a file name.
pub(super) fn name(text: &str) -> Result<&str, Flaw> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let begins_well = text.starts_with(|first: char| first.is_ascii_alphanumeric());
    if text.len() <= NAME_MAX && begins_well && text.bytes().all(allowed) {
        return Ok(text);
    }
    Err(Flaw {
        code: Code::BadName,
        message: format!("\"{}\" is no name", shown(text)),
        help: format!("a name is 1 to {NAME_MAX} of A-Z a-z 0-9 . _ - and begins with a letter or a digit"),
    })
}

/// Where clients send knocks: a DNS name or an address.
pub(super) fn host(text: &str) -> Result<&str, Flaw> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    let labels = || text.trim_end_matches('.').split('.').all(|label| (1..=63).contains(&label.len()));
    if text.parse::<IpAddr>().is_ok() || text.len() <= 253 && text.bytes().all(allowed) && labels() {
        return Ok(text);
    }
    Err(Flaw {
        code: Code::BadName,
        message: format!("\"{}\" is neither a DNS name nor an address", shown(text)),
        help: "write, for example: host = \"gw.example.org\" or \"192.0.2.1\" (without port)".to_owned(),
    })
}

/// The name of a network interface: up to 15 bytes (`IFNAMSIZ` less the final zero), no slash, colon or white space.
pub(super) fn interface(text: &str) -> Result<&str, Flaw> {
    let odd = |c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control();
    if (1..=15).contains(&text.len()) && !text.contains(odd) && text != "." && text != ".." {
        return Ok(text);
    }
    Err(Flaw {
        code: Code::BadName,
        message: format!("\"{}\" cannot be the name of a network interface", shown(text)),
        help: "write a name that `ip link` shows, such as \"eth0\"".to_owned(),
    })
}

/// The name of an nftables table or set, as the `nft` command reads it without quotes.
pub(super) fn nft_name(text: &str) -> Result<&str, Flaw> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte);
    let begins_well = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    if text.len() <= NFT_NAME_MAX && begins_well && text.bytes().all(allowed) {
        return Ok(text);
    }
    Err(Flaw {
        code: Code::BadName,
        message: format!("\"{}\" cannot be a name in nftables", shown(text)),
        help: format!("up to {NFT_NAME_MAX} of A-Z a-z 0-9 . _ - / and a letter first"),
    })
}

/// A path that is not empty.
pub(super) fn path(text: &str) -> Result<&str, Flaw> {
    if !text.is_empty() && !text.contains('\0') {
        return Ok(text);
    }
    Err(Flaw {
        code: Code::BadName,
        message: format!("\"{}\" is no path", shown(text)),
        help: "write the path of a file; a relative one counts from the folder of this file".to_owned(),
    })
}

/// A path that says where it is by itself.
pub(super) fn absolute_path(text: &str) -> Result<&str, Flaw> {
    if text.starts_with('/') {
        return path(text);
    }
    Err(Flaw {
        code: Code::NotAbsolute,
        message: format!("\"{}\" does not begin with a slash", shown(text)),
        help: "write the whole path, from / on: nothing is searched for".to_owned(),
    })
}

/// One argument of a program.
pub(super) fn argument(text: &str) -> Result<&str, Flaw> {
    if !text.contains('\0') {
        return Ok(text);
    }
    Err(Flaw {
        code: Code::BadName,
        message: format!("\"{}\" cannot be handed to a program", shown(text)),
        help: "take the zero byte out: arguments end with one".to_owned(),
    })
}

/// A user or a group of this machine, by name or number.
pub(super) fn account(text: &str) -> Result<&str, Flaw> {
    let odd = |c: char| c == ':' || c == '/' || c == ',' || c.is_whitespace() || c.is_control();
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    // The last number means "none" in system calls.
    let is_usable = !is_number || text.parse::<u32>().is_ok_and(|number| number != u32::MAX);
    if (1..=ACCOUNT_MAX).contains(&text.len()) && !text.starts_with('-') && !text.contains(odd) && is_usable {
        return Ok(text);
    }
    Err(Flaw {
        code: Code::BadName,
        message: format!("\"{}\" cannot be a user or a group of this machine", shown(text)),
        help: "write a name that `getent passwd` or `getent group` shows, or its number as a text".to_owned(),
    })
}

/// The address of one host.
pub(super) fn address(text: &str) -> Result<Address, Flaw> {
    let address = text.parse::<IpAddr>().ok().map(Address::from).filter(|address| !address.is_impossible_source());
    address.ok_or_else(|| Flaw {
        code: Code::BadAddress,
        message: format!("\"{}\" is not the address of one host", shown(text)),
        help: "write, for example: \"10.0.0.5\" or \"2001:db8::5\"".to_owned(),
    })
}

/// A network, or one address as a network of one.
pub(super) fn network(text: &str) -> Result<Network, Flaw> {
    text.parse().map_err(|flaw| {
        let (message, help) = match flaw {
            NetworkFlaw::Address => (
                format!("\"{}\" begins with no IPv4 or IPv6 address", shown(text)),
                "write, for example: \"192.0.2.0/24\", \"2001:db8::/32\" or \"192.0.2.7\"".to_owned(),
            ),
            NetworkFlaw::Prefix => (
                format!("\"{}\" has no prefix length behind its slash", shown(text)),
                "a prefix is 0 to 32 (IPv4) or 0 to 128 (IPv6): \"192.0.2.0/24\"".to_owned(),
            ),
            NetworkFlaw::HostBits => (
                format!("\"{}\" names a host, not a network", shown(text)),
                match without_host_bits(text) {
                    Some((network, host)) => format!("write \"{network}\" for the network, or \"{host}\" for the host"),
                    None => "the bits behind the prefix must be zero".to_owned(),
                },
            ),
        };
        Flaw { code: Code::BadNetwork, message, help }
    })
}

/// A network for one of the filter's lists.
pub(super) fn listed_network(text: &str) -> Result<Network, Flaw> {
    let network = network(text)?;
    if network.swallows_ipv4() {
        return Err(Flaw {
            code: Code::BadNetwork,
            message: format!("\"{}\" holds every IPv4 address, too", shown(text)),
            help: "write \"2000::/3\" for all IPv6 addresses of the internet".to_owned(),
        });
    }
    Ok(network)
}

/// A service of this host.
pub(super) fn service(text: &str) -> Result<Service, Flaw> {
    text.parse().map_err(|flaw: ServiceFlaw| Flaw {
        code: Code::BadService,
        message: format!("\"{}\" is no service: {flaw}", shown(text)),
        help: match text.parse::<u16>() {
            Ok(port) if port != 0 => format!("write \"tcp/{port}\" or \"udp/{port}\""),
            _ => "write, for example: \"tcp/22\" or \"udp/51820\"".to_owned(),
        },
    })
}

/// A service of a host behind this one.
pub(super) fn door(text: &str) -> Result<Door, Flaw> {
    text.parse().map_err(|flaw: DoorFlaw| Flaw {
        code: Code::BadService,
        message: format!("\"{}\" is no service of a host: {flaw}", shown(text)),
        help: "write, for example: \"tcp/5432@10.0.0.5\" or \"udp/53@2001:db8::5\"".to_owned(),
    })
}

/// Where a port of this host leads.
pub(super) fn port_forward(text: &str) -> Result<PortForward, Flaw> {
    text.parse().map_err(|flaw: PortForwardFlaw| Flaw {
        code: Code::BadService,
        message: format!("\"{}\" leads nowhere: {flaw}", shown(text)),
        help: "write, for example: \"tcp/2222 -> 10.0.0.5:22\" or \"udp/53 -> [2001:db8::5]:53\"".to_owned(),
    })
}

/// A number of bytes: digits and a unit, `K`, `M`, `G` or `T`, each 1024 of the one before.
pub(super) fn size(text: &str) -> Result<u64, Flaw> {
    let flaw = |message: String, help: String| Flaw { code: Code::BadSize, message, help };
    let (digits, unit) = text.split_at(text.bytes().take_while(u8::is_ascii_digit).count());
    let number = digits.parse::<u64>().ok();
    let factor = SIZES.into_iter().find(|(_, name)| *name == unit).map(|(factor, _)| factor);
    match (number, factor) {
        (Some(number), Some(factor)) => number
            .checked_mul(factor)
            .ok_or_else(|| flaw(format!("\"{}\" is too much", shown(text)), "write a smaller number".to_owned())),
        (Some(number), None) if unit.is_empty() => {
            let help = format!("write \"{number}K\" or \"{number}M\"; units are K, M, G and T");
            Err(flaw(format!("\"{}\" lacks its unit", shown(text)), help))
        }
        (Some(_) | None, _) => Err(flaw(
            format!("\"{}\" is no number of bytes", shown(text)),
            "write, for example: \"256K\", \"64M\" or \"1G\"".to_owned(),
        )),
    }
}

/// A number of bytes as [`size`] reads it, with the longest unit that leaves no rest.
pub(super) fn size_text(bytes: u64) -> String {
    let (factor, unit) = SIZES.into_iter().find(|(factor, _)| bytes.is_multiple_of(*factor)).unwrap_or((1, ""));
    format!("{}{unit}", bytes / factor)
}

/// A length of time: digits and a unit, `s`, `m`, `h` or `d`; several parts go from long to short (`1h30m`).
pub(super) fn duration(text: &str) -> Result<Duration, Flaw> {
    let flaw = |message: String, help: &str| Flaw { code: Code::BadDuration, message, help: help.to_owned() };
    let form = || {
        flaw(
            format!("\"{}\" is no length of time", shown(text)),
            "write, for example: \"90s\", \"10m\", \"24h\", \"7d\", \"1h30m\"",
        )
    };
    let long = || flaw(format!("\"{}\" is too long", shown(text)), "a year, \"365d\", is more than enough");
    let mut seconds = 0_u64;
    let mut longest = u64::MAX;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, behind) = rest.split_at(digits);
        let Some(unit) = behind.chars().next() else {
            return Err(flaw(
                format!("\"{}\" lacks its unit", shown(text)),
                &format!("write \"{text}s\" if you mean seconds; units are s, m, h and d"),
            ));
        };
        let (factor, _) = UNITS.into_iter().find(|(_, name)| *name == unit).ok_or_else(form)?;
        if number.is_empty() || factor >= longest {
            return Err(form());
        }
        let number: u64 = number.parse().map_err(|_| long())?;
        seconds = number.checked_mul(factor).and_then(|part| part.checked_add(seconds)).ok_or_else(long)?;
        longest = factor;
        rest = &behind[unit.len_utf8()..];
    }
    match (text, seconds) {
        ("", _) => Err(form()),
        (_, 0) => Err(flaw(format!("\"{}\" is no time at all", shown(text)), "one second, \"1s\", is the shortest")),
        (_, seconds) => Ok(Duration::from_secs(seconds)),
    }
}

/// A length of time as [`duration`] reads it: one number with the longest unit that leaves no rest.
pub(super) fn duration_text(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (factor, unit) = UNITS.into_iter().find(|(factor, _)| seconds.is_multiple_of(*factor)).unwrap_or((1, 's'));
    format!("{}{unit}", seconds / factor)
}

/// A moment: a date and time with its zone, from 1970 on.
pub(super) fn moment(datetime: &Datetime) -> Result<Wall, Flaw> {
    let flaw = |message: &str| Flaw {
        code: Code::BadTime,
        message: format!("{datetime} {message}"),
        help: match datetime.date {
            Some(date) if date.year >= 1970 => format!("write {date}T00:00:00Z for the day's beginning in UTC"),
            _ => "write, for example: 2030-01-01T00:00:00Z".to_owned(),
        },
    };
    let (Some(date), Some(time), Some(offset)) = (datetime.date, datetime.time, datetime.offset) else {
        return Err(flaw("is no moment: it lacks a date, a time or a zone"));
    };
    let offset_seconds = match offset {
        Offset::Z => 0,
        Offset::Custom { minutes } => i64::from(minutes) * 60,
    };
    let of_day = i64::from(time.hour) * 3600 + i64::from(time.minute) * 60 + i64::from(time.second.unwrap_or(0));
    let seconds = days_since_1970(date) * 86_400 + of_day - offset_seconds;
    u64::try_from(seconds).map(Wall::from_secs).map_err(|_| flaw("is before 1970"))
}

/// Howard Hinnant, "chrono-compatible low-level date algorithms": `days_from_civil`.
fn days_since_1970(date: Date) -> i64 {
    let (month, day) = (i64::from(date.month), i64::from(date.day));
    let year = i64::from(date.year) - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn without_host_bits(text: &str) -> Option<(Network, IpAddr)> {
    let (ip, prefix) = text.split_once('/')?;
    let (host, prefix): (IpAddr, u32) = (ip.parse().ok()?, prefix.parse().ok()?);
    let network = match host {
        IpAddr::V4(v4) => {
            let keep = u32::MAX.checked_shl(32_u32.checked_sub(prefix)?).unwrap_or(0);
            IpAddr::from((u32::from(v4) & keep).to_be_bytes())
        }
        IpAddr::V6(v6) => {
            let keep = u128::MAX.checked_shl(128_u32.checked_sub(prefix)?).unwrap_or(0);
            IpAddr::from((u128::from(v6) & keep).to_be_bytes())
        }
    };
    Some((format!("{network}/{prefix}").parse().ok()?, host))
}

/// A text as it may stand in a message: one line, no control characters, not endless.
pub(super) fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN_MAX).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN_MAX).is_some() {
        shown.push('…');
    }
    shown
}

/// Two names and a space fit into an nftables comment.
const NAME_MAX: usize = 32;

/// `NFT_NAME_MAXLEN` of `linux/netfilter/nf_tables.h`, less the final zero.
const NFT_NAME_MAX: usize = 255;

/// `LOGIN_NAME_MAX` of Linux is 256; `useradd` takes 32.
const ACCOUNT_MAX: usize = 64;

/// Bytes in each unit, longest first.
const SIZES: [(u64, &str); 4] = [(1 << 40, "T"), (1 << 30, "G"), (1 << 20, "M"), (1 << 10, "K")];

/// More of a text helps nobody.
const SHOWN_MAX: usize = 64;

/// Seconds in each unit, longest first.
const UNITS: [(u64, char); 4] = [(86_400, 'd'), (3_600, 'h'), (60, 'm'), (1, 's')];
