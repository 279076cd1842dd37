"""The guard between agents and the network: a page or a model may name any address, and only public ones are reached.

    check_url        scheme, user names, port, name, written-out addresses    before every request and every redirect
    check_address    where a name leads                                       at DNS, and again when a socket is made

`guarded_client` asks both; a name cannot change its address between check and connect, because what is checked last is
what the socket connects to.

Report: App. E.6, E.8 (browser tools); the policy is an open choice here.

    ManyeyesError
    └── FetchError       a page that could not be had
        ├── Refused      an address that may not be reached; nothing was sent to it
        └── TooLarge     more bytes than allowed, as sent or as unpacked
"""

import ipaddress
import re
import socket
from dataclasses import dataclass

from yarl import URL

from manyeyes.agent.tools.public_address import refusal
from manyeyes.core.errors import ManyeyesError

NAMES = re.compile(r"(^|\.)(localhost|local|localdomain|internal|intranet|home\.arpa|lan|onion)$")
"""Names that are never of the public web, whatever a resolver says."""


class FetchError(ManyeyesError):
    """A page that could not be had."""


class Refused(FetchError):
    """An address that may not be reached."""


class TooLarge(FetchError):
    """More bytes than allowed."""


@dataclass(frozen=True, slots=True)
class Guard:
    """What may be reached, and how much of it.

    Attributes:
        ports: that an address may name.
        allow: "address:port" that may be reached although it is not public, such as "127.0.0.1:8080". For tests and
            for services that the user names; never filled from what an agent or a page says.
        seconds: for everything about one address, redirects included.
        most_bytes: of a page, unpacked.
        most_sent: of a page, as it comes over the wire.
        redirects: that are followed.
    """

    ports: frozenset[int] = frozenset((80, 443))
    allow: frozenset[str] = frozenset()
    seconds: float = 30.0
    most_bytes: int = 8 * 2**20
    most_sent: int = 8 * 2**20
    redirects: int = 5

    def check_url(self, url: str | URL) -> URL:
        """The address, if it may be asked for.

        Raises:
            Refused: and why.
        """
        try:
            parsed = url if isinstance(url, URL) else URL(url.strip())
            host, port = parsed.host, parsed.port
        except ValueError as error:
            raise Refused(f"{str(url)[:200]!r} is not an address: {error}") from None
        if parsed.scheme not in ("http", "https") or not host:
            raise Refused(f"only http and https addresses can be opened, got {str(url)[:200]!r}")
        if parsed.user is not None or parsed.password is not None:
            raise Refused("an address with a user name or a password in it is not opened")
        if f"{host}:{port}" in self.allow:
            return parsed
        if port not in self.ports:
            raise Refused(f"port {port} is not opened, only {', '.join(map(str, sorted(self.ports)))}")
        self._check_name(host.rstrip(".").lower())
        return parsed

    def _check_name(self, host: str) -> None:
        if NAMES.search(host):
            raise Refused(f"{host} is not a name of the public web")
        if ":" in host or _is_plain(host):
            self.check_address(host, 0)
        elif _is_number(host):
            raise Refused(f"{host} is an address in an unusual form; write it as four decimal numbers")

    def check_address(self, address: str, port: int) -> None:
        """Raises `Refused` unless the address is public or allowed with this port."""
        if f"{address}:{port}" not in self.allow and (why := refusal(address)):
            raise Refused(f"{address} is {why} and is not reached")


def _is_plain(host: str) -> bool:
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True


def _is_number(host: str) -> bool:
    """Whether the C library would read it as an IPv4 address: one to four decimal, octal or hexadecimal numbers."""
    try:
        socket.inet_aton(host)
    except OSError:
        return bool(re.search(r"(^|\.)(0x[0-9a-f]*|[0-9]+)$", host))
    return True
