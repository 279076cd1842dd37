"""`Page`: what an agent reads of the web: numbered lines, numbered links, a view of so many lines at a time.

    title, address, date
    L1: # Iceland
    L2: Capital: [Reykjavik](#1)          a link is its words and its number; `click(1)` opens it
    …
    (lines 1-60 of 130; `scroll` shows more)

Text comes in as Markdown, whatever it was before: extraction, PDF and the local web all write that.

Report: App. E.6 (citations), E.8 (open, find, scroll, click).
"""

import re
from dataclasses import dataclass
from urllib.parse import urljoin

LINES_A_VIEW = 60
LONGEST_LINE = 240
"""Characters; longer paragraphs are broken, tables and code are cut."""
LONGEST_TITLE = 300
"""Characters; a title stands in every view of its page."""
MOST_LINES = 20_000
MOST_LINKS = 5_000
MOST_TEXT = 4_000_000
"""Characters; what comes after them is not read."""
_LINK = re.compile(
    r"(!?)\[((?:[^\[\]\n]|\[[^\[\]\n]*\])*)\]"
    r"\((?:<([^<>\n]{1,2000})>|((?:[^()\s<>]|\([^()\s]*\))+))(?:\s+\"[^\"]*\")?\)"
)


@dataclass(frozen=True, slots=True)
class Link:
    """A link of a page: its words, and where it leads."""

    text: str
    url: str


@dataclass(frozen=True, slots=True)
class Page:
    """A page as an agent reads it.

    Attributes:
        lines: with links as `[words](#number)`.
        links: link number n is `links[n - 1]`.
        date: of the page, where it is known.

    Example:
        >>> page = Page.from_markdown("https://a.example/x/", "A", "See [B](../b).")
        >>> page.lines, page.links
        (('See [B](#1).',), (Link(text='B', url='https://a.example/b'),))
    """

    url: str
    title: str
    lines: tuple[str, ...]
    links: tuple[Link, ...] = ()
    date: str = ""

    @classmethod
    def from_markdown(cls, url: str, title: str, text: str, *, date: str = "") -> "Page":
        """A page of Markdown text; pictures leave their description, links get numbers."""
        links: list[Link] = []
        numbers: dict[str, int] = {}

        def numbered(match: re.Match[str]) -> str:
            picture, words, bracketed, bare = match.groups()
            target = bracketed or bare
            if picture or target.startswith(("#", "javascript:", "data:", "mailto:", "tel:")):
                return words
            if target not in numbers:
                if len(links) == MOST_LINKS:
                    return words
                links.append(Link(words.strip(), _absolute(url, target)))
                numbers[target] = len(links)
            return f"[{words.strip()}](#{numbers[target]})"

        lines = [line for raw in _LINK.sub(numbered, text[:MOST_TEXT]).splitlines() for line in _broken(raw.rstrip())]
        shown = " ".join(title[: 4 * LONGEST_TITLE].split())[:LONGEST_TITLE]
        return cls(url, shown, _without_gaps(lines)[:MOST_LINES], tuple(links), date)

    def view(self, first: int, *, cite: int) -> str:
        """Lines from number `first` (counted from 1) on, as an agent reads them."""
        last = min(len(self.lines), first + LINES_A_VIEW - 1)
        date = f" ({self.date})" if self.date else ""
        head = f"[^{cite}^] {self.title or self.url}{date}\n{self.url}"
        body = "\n".join(f"L{number}: {self.lines[number - 1]}" for number in range(first, last + 1))
        more = "; scroll shows more" if last < len(self.lines) else ""
        return f"{head}\n{body}\n(lines {min(first, last)}-{last} of {len(self.lines)}{more}; cite as [^{cite}^])"

    def found(self, words: str) -> list[int]:
        """Numbers of the lines that hold the words, whatever their case and spaces."""
        wanted = " ".join(words.split()).casefold()
        return [i for i, line in enumerate(self.lines, 1) if wanted in " ".join(plain(line).split()).casefold()]


def plain(line: str) -> str:
    """A line with the words of its links and not their numbers.

    Example:
        >>> plain("Capital: [Reykjavik](#1)")
        'Capital: Reykjavik'
    """
    return re.sub(r"\[([^\[\]]*(?:\[[^\[\]]*\][^\[\]]*)*)\]\(#\d+\)", r"\1", line)


def _absolute(base: str, target: str) -> str:
    try:
        return urljoin(base, target.replace(" ", "%20")).partition("#")[0]
    except ValueError:
        return target


def _broken(line: str) -> list[str]:
    """Pieces of at most the longest line, between words where there are any."""
    if len(line) <= LONGEST_LINE:
        return [line]
    if line.lstrip().startswith("|"):
        return [line[: 8 * LONGEST_LINE]]
    pieces, at = [], 0
    while len(line) - at > LONGEST_LINE:
        space = line.rfind(" ", at, at + LONGEST_LINE)
        cut = space if space > at else at + LONGEST_LINE
        pieces.append(line[at:cut])
        at = cut + (space == cut)
    return [*pieces, line[at:]]


def _without_gaps(lines: list[str]) -> tuple[str, ...]:
    """Without empty lines at the ends and without two in a row."""
    kept: list[str] = []
    for line in lines:
        if line or (kept and kept[-1]):
            kept.append(line)
    while kept and not kept[-1]:
        kept.pop()
    return tuple(kept)
