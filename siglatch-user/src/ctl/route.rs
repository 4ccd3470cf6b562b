//! Which interface leads to the rest of the world, from the kernel's routing tables as text. Never reads them itself.

/// The interface of the IPv4 default route with the lowest metric, from the text of `/proc/net/route`.
pub(super) fn default_v4(text: &str) -> Option<&str> {
    let routes = text.lines().skip(1).filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [interface, destination, _gateway, flags, _, _, metric, mask, ..] = fields[..] else { return None };
        let up = u16::from_str_radix(flags, 16).ok()? & RTF_UP != 0;
        let default = destination == "00000000" && mask == "00000000";
        (up && default).then_some((metric.parse::<u32>().ok()?, interface))
    });
    routes.min().map(|(_, interface)| interface)
}

/// The same for IPv6, from the text of `/proc/net/ipv6_route`.
pub(super) fn default_v6(text: &str) -> Option<&str> {
    let routes = text.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [destination, prefix, _, _, _, metric, _, _, flags, interface] = fields[..] else { return None };
        let flags = u32::from_str_radix(flags, 16).ok()?;
        let usable = flags & u32::from(RTF_UP) != 0 && flags & RTF_REJECT == 0 && interface != "lo";
        let default = destination.bytes().all(|digit| digit == b'0') && prefix == "00";
        (usable && default).then_some((u32::from_str_radix(metric, 16).ok()?, interface))
    });
    routes.min().map(|(_, interface)| interface)
}

/// `linux/route.h`: route usable.
const RTF_UP: u16 = 1;

/// `linux/route.h`: reject route; the kernel keeps one for every namespace.
const RTF_REJECT: u32 = 0x200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_default_route_counts() {
        let text = "\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
wlan0\t00000000\t0102A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0
eth0\t00000000\t0102A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0
eth1\t00000000\t0102A8C0\t0002\t0\t0\t1\t00000000\t0\t0\t0
eth2\t0002A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
";
        assert_eq!(default_v4(text), Some("eth0"));
        assert_eq!(default_v4(""), None);
        assert_eq!(default_v4(&text[..100]), None);
    }

    #[test]
    fn the_kernel_rejecting_route_leads_nowhere() {
        let (zero, gateway) = ("0".repeat(32), "fe800000000000000000000000000001");
        let line = |metric: &str, flags: &str, interface: &str| {
            format!("{zero} 00 {zero} 00 {gateway} {metric} 00000001 00000000 {flags} {interface:>8}\n")
        };
        let reject = line("ffffffff", "00200200", "lo");
        assert_eq!(default_v6(&reject), None);
        let text = reject + &line("00000400", "00000003", "eth0") + &line("00000100", "00000003", "eth1");
        assert_eq!(default_v6(&text), Some("eth1"));
    }
}
