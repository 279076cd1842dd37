"""Which addresses belong to the public Internet, as a list of what does not, each with its name.

IPv6 is looked at the other way round: only 2000::/3 is ever given to the public, and the ways in which an IPv6 address
can stand for an IPv4 one (mapped, compatible, NAT64, 6to4, Teredo, ISATAP) are refused whole, because whoever
translates them may sit inside.

Source: IANA special-purpose address registries (RFC 6890 and its updates). Report: none.
"""

import ipaddress

IPV4 = {
    "0.0.0.0/8": "of this network",
    "10.0.0.0/8": "private",
    "100.64.0.0/10": "of a carrier's own network (CGNAT)",
    "127.0.0.0/8": "loopback",
    "168.63.129.16/32": "a cloud's metadata service",
    "169.254.0.0/16": "link-local (metadata services live there)",
    "172.16.0.0/12": "private",
    "192.0.0.0/24": "reserved for protocols",
    "192.0.2.0/24": "for documentation",
    "192.31.196.0/24": "reserved (AS112)",
    "192.52.193.0/24": "reserved (AMT)",
    "192.88.99.0/24": "a 6to4 relay",
    "192.168.0.0/16": "private",
    "192.175.48.0/24": "reserved (AS112)",
    "198.18.0.0/15": "for benchmarks",
    "198.51.100.0/24": "for documentation",
    "203.0.113.0/24": "for documentation",
    "224.0.0.0/4": "multicast",
    "240.0.0.0/4": "reserved",
}
IPV6 = {
    "::/128": "unspecified",
    "::1/128": "loopback",
    "::ffff:0:0/96": "an IPv4 address in IPv6 clothes (mapped)",
    "::ffff:0:0:0/96": "an IPv4 address in IPv6 clothes (translated)",
    "::/96": "an IPv4 address in IPv6 clothes (compatible)",
    "64:ff9b::/96": "a NAT64 form",
    "64:ff9b:1::/48": "a NAT64 form",
    "100::/64": "for discarding",
    "2001::/32": "a Teredo form",
    "2001::/23": "reserved for protocols",
    "2001:db8::/32": "for documentation",
    "2002::/16": "a 6to4 form",
    "2620:4f:8000::/48": "reserved (AS112)",
    "3fff::/20": "for documentation",
    "5f00::/16": "for segment routing",
    "fc00::/7": "private",
    "fe80::/10": "link-local",
    "fec0::/10": "site-local",
    "ff00::/8": "multicast",
}
GLOBAL_IPV6 = ipaddress.IPv6Network("2000::/3")
ISATAP = (0x00005EFE, 0x02005EFE)
"""The upper half of an interface identifier that carries an IPv4 address."""

_NETWORKS4 = tuple((ipaddress.IPv4Network(network), why) for network, why in IPV4.items())
_NETWORKS6 = tuple((ipaddress.IPv6Network(network), why) for network, why in IPV6.items())


def refusal(address: str) -> str:
    """Why an address is not of the public Internet; "" when it is.

    Args:
        address: as numbers, IPv6 with or without brackets and zone.

    Example:
        >>> refusal("10.0.0.1"), refusal("::ffff:8.8.8.8"), refusal("8.8.8.8")
        ('private', 'an IPv4 address in IPv6 clothes (mapped)', '')
    """
    try:
        parsed = ipaddress.ip_address(address.strip("[]").partition("%")[0])
    except ValueError:
        return "not an address"
    if isinstance(parsed, ipaddress.IPv4Address):
        return next((why for network, why in _NETWORKS4 if parsed in network), "")
    if why := next((why for network, why in _NETWORKS6 if parsed in network), ""):
        return why
    if parsed not in GLOBAL_IPV6:
        return "not given to the public"
    return "an ISATAP form" if (int(parsed) >> 32) & 0xFFFFFFFF in ISATAP else ""
