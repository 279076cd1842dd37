"""The guard: what may be asked for and what may be reached. Each attack must fail before a byte is sent."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyeyes.agent.tools.net_guard import Guard, Refused
from manyeyes.agent.tools.public_address import IPV4, IPV6, refusal

V4 = st.sampled_from(sorted(IPV4)).map(ipaddress.IPv4Network)
V6 = st.sampled_from(sorted(IPV6)).map(ipaddress.IPv6Network)


def inside(network, data) -> str:
    return str(network[data.draw(st.integers(0, network.num_addresses - 1))])


@given(V4, st.data())
def test_no_address_of_a_special_ipv4_network_is_public(network, data) -> None:
    assert refusal(inside(network, data))


@given(V6, st.data())
def test_no_address_of_a_special_ipv6_network_is_public(network, data) -> None:
    assert refusal(inside(network, data))


@given(st.ip_addresses())
def test_what_is_public_here_is_global_for_the_standard_library(address) -> None:
    if not refusal(str(address)):
        assert address.is_global and not address.is_multicast and not address.is_reserved


@given(st.ip_addresses(v=4))
def test_ipv4_in_ipv6_clothes_is_refused_even_when_it_is_public(address) -> None:
    number = int(address)
    forms = {
        "mapped": 0xFFFF << 32 | number,
        "compatible": number,
        "nat64": 0x64FF9B << 96 | number,
        "6to4": 0x2002 << 112 | number << 80 | 1,
        "teredo": 0x20010000 << 96 | number ^ 0xFFFFFFFF,
        "isatap": 0x2A00 << 112 | 0x5EFE << 32 | number,
    }
    assert {name for name, value in forms.items() if not refusal(str(ipaddress.IPv6Address(value)))} == set()


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "93.184.216.34", "2606:4700::1111", "2a00:1450:4001::8a"])
def test_public_addresses_are_public(address: str) -> None:
    assert refusal(address) == ""


@pytest.mark.parametrize("address", [
    "127.0.0.1", "10.1.2.3", "172.31.0.1", "192.168.1.1", "169.254.169.254", "100.100.100.200", "168.63.129.16",
    "192.0.0.192", "0.0.0.0", "255.255.255.255", "224.0.0.1", "::1", "::", "fd00:ec2::254", "fe80::1%eth0",
    "[::ffff:127.0.0.1]", "not an address", "",
])  # fmt: skip
def test_metadata_and_local_addresses_are_not(address: str) -> None:
    assert refusal(address)


@pytest.mark.parametrize(("url", "said"), [
    ("file:///etc/passwd", "only http"),
    ("ftp://example.org/", "only http"),
    ("gopher://127.0.0.1:70/_x", "only http"),
    ("//example.org/", "only http"),
    ("javascript:alert(1)", "only http"),
    ("", "only http"),
    ("http://", "only http"),
    ("http://user@example.org/", "user name"),
    ("http://user:secret@example.org/", "user name"),
    ("http://example.org@127.0.0.1/", "user name"),
    ("http://example.org:22/", "port 22"),
    ("http://example.org:6379/", "port 6379"),
    ("http://example.org:99999/", "not an address"),
    ("http://localhost/", "not a name of the public web"),
    ("http://LOCALHOST./", "not a name of the public web"),
    ("http://metadata.google.internal/computeMetadata/v1/", "not a name of the public web"),
    ("http://printer.local/", "not a name of the public web"),
    ("http://127.0.0.1/", "loopback"),
    ("http://169.254.169.254/latest/meta-data/", "link-local"),
    ("http://[::1]/", "loopback"),
    ("http://[::ffff:169.254.169.254]/", "mapped"),
    ("http://[64:ff9b::7f00:1]/", "NAT64"),
    ("http://[2002:7f00:1::]/", "6to4"),
    ("http://[fe80::1]/", "link-local"),
    ("http://2130706433/", "unusual form"),
    ("http://0x7f000001/", "unusual form"),
    ("http://0x7f.1/", "unusual form"),
    ("http://0177.0.0.1/", "unusual form"),
    ("http://127.1/", "unusual form"),
    ("http://127.0.0.1./", "loopback"),
    ("http://017700000001/", "unusual form"),
])  # fmt: skip
def test_attacks_by_address_are_refused(url: str, said: str) -> None:
    with pytest.raises(Refused, match=said):
        Guard().check_url(url)


@given(st.ip_addresses(v=4).filter(lambda address: bool(refusal(str(address)))), st.data())
def test_no_way_to_write_a_private_ipv4_address_passes(address, data) -> None:
    a, b, c, d = address.packed
    number = int(address)
    forms = [
        str(address), str(number), hex(number), f"0{number:o}", f"{a}.{number & 0xFFFFFF}", f"{a}.{b}.{c << 8 | d}",
        f"{a:#x}.{b:#x}.{c:#x}.{d:#x}", f"0{a:o}.0{b:o}.0{c:o}.0{d:o}", f"[::ffff:{address}]", f"[::{address}]",
    ]  # fmt: skip
    form = data.draw(st.sampled_from(forms))
    with pytest.raises(Refused):
        Guard().check_url(f"http://{form}/")


@pytest.mark.parametrize("url", [
    "http://example.org/", "https://example.org:443/a?b=c#d", "http://8.8.8.8/", "https://bücher.example/",
    "https://[2606:4700::1111]/", " https://example.org/ ",
])  # fmt: skip
def test_ordinary_addresses_pass(url: str) -> None:
    assert Guard().check_url(url).host


def test_what_the_user_allows_passes_and_nothing_beside_it() -> None:
    guard = Guard(allow=frozenset(("127.0.0.1:8080",)))
    assert guard.check_url("http://127.0.0.1:8080/x").port == 8080
    for url in ("http://127.0.0.1/", "http://127.0.0.1:8081/", "http://127.0.0.2:8080/", "http://localhost:8080/"):
        with pytest.raises(Refused):
            guard.check_url(url)
    assert Guard(ports=frozenset((80, 8443))).check_url("https://example.org:8443/")
