"""`Citations`: the numbers behind `[^n^]`, one list for each agent; search results and opened pages share it.

What is numbered is put into `ToolResult.data["cited"]`, so that a resumed agent goes on with the same numbers.

Report: App. E.6 (cite in the format [^index^]).
"""

from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

TRACKING = ("utm_", "gclid", "fbclid", "mc_cid", "mc_eid", "msclkid", "igshid", "ref_src")
"""Beginnings of query parameters that say where a reader came from and not what is read."""


class Citations:
    """Numbers by address, counted from 1.

    Example:
        >>> cited = Citations()
        >>> cited.number("https://a.example/x"), cited.number("https://b.example/"), cited.number("http://a.example/x/")
        (1, 2, 1)
        >>> cited.urls[2]
        'https://b.example/'
    """

    def __init__(self, noted: Iterable[dict[str, Any]] = ()) -> None:
        self.urls: dict[int, str] = {}
        self._numbers: dict[str, int] = {}
        for data in noted:
            for number, url in data.get("cited", {}).items():
                self.urls[int(number)] = url
                self._numbers[canonical(url)] = int(number)

    def number(self, url: str) -> int:
        """The number of an address; a new one for an address that has none."""
        key = canonical(url)
        if key not in self._numbers:
            self._numbers[key] = max(self.urls, default=0) + 1
            self.urls[self._numbers[key]] = url
        return self._numbers[key]

    def noted(self, urls: Iterable[str]) -> dict[str, str]:
        """What belongs into a result's `data["cited"]`."""
        return {str(self.number(url)): url for url in urls}


def canonical(url: str) -> str:
    """One key for addresses that almost surely lead to one page; not an address to open.

    Example:
        >>> canonical("HTTP://www.Example.org:80/a/?utm_source=x&b=2&a=1#top")
        'example.org/a?a=1&b=2'
    """
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError:
        return url.strip()
    host = (parts.hostname or "").removeprefix("www.")
    kept = [(k, v) for k, v in parse_qsl(parts.query, keep_blank_values=True) if not k.lower().startswith(TRACKING)]
    place = host if port in (None, 80, 443) else f"{host}:{port}"
    query = f"?{urlencode(sorted(kept))}" if kept else ""
    return f"{place}{parts.path.rstrip('/')}{query}"
