"""HTML to Markdown by one walk over its tags: headings, lists, tables, links; without scripts and menus.

A page may be hostile, and parsers take time that grows with the square of what they are given: the standard library's
(Python 3.11) needs 49 s for 80 KB of `<a "`, lexbor 1 s for 20,000 nested <div>, with the interpreter locked. The pass
here looks at every character a bounded number of times. It repairs nothing, and reading needs no tree: what is missing
is a `>` within a quoted attribute.

Report: App. E.8 (web pages).
"""

import html
import re

LITTLE = 200
"""Characters below which a page is read once more with its menus: some pages are nothing else."""
NOT_TEXT = frozenset(("script", "style", "noscript", "template", "svg", "canvas", "iframe", "object"))
AROUND = frozenset(("nav", "footer", "aside", "button", "select", "dialog"))
BLOCKS = frozenset((
    "p", "div", "section", "article", "main", "header", "ul", "ol", "dl", "dt", "dd", "table", "tr", "blockquote",
    "pre", "figure", "figcaption", "hr", "br", "li", "h1", "h2", "h3", "h4", "h5", "h6", "address", "details",
    "summary", "form", "nav", "footer", "aside",
))  # fmt: skip
WITH_ATTRIBUTES = frozenset(("a", "meta", "time"))
RAW = frozenset(("script", "style", "textarea", "title", "xmp", "noembed", "noframes"))
"""Elements whose content holds no tags."""
MOST_HTML = 2_000_000
"""Characters; what comes after them is not read."""
LONGEST_TAG = 2_000
_NAME = re.compile(r"(/?)([a-zA-Z][a-zA-Z0-9:-]*)")
_ATTRIBUTE = re.compile(r"""(?<![a-zA-Z:-])([a-zA-Z:-]+)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+))""")
_LONG_NUMBER = re.compile(r"(&#[0-9]{20})[0-9]+")
_SPACES = re.compile(r"\s+")
ABOUT = frozenset(("title", "meta", "time"))


def walked(text: str) -> "Walk":
    """HTML after the walk."""
    text = text[:MOST_HTML]
    first = _walk(text, NOT_TEXT | AROUND)
    return first if len(first.text) >= LITTLE and first.closed else _walk(text, NOT_TEXT)


def _walk(text: str, skip: frozenset[str]) -> "Walk":
    walk = Walk(skip)
    _tokens(text, walk)
    return walk


class Walk:
    """HTML as it goes by, tag after tag, becoming Markdown.

    Attributes:
        title: of the page.
        date: that it says it is of.
    """

    def __init__(self, skip: frozenset[str] = NOT_TEXT | AROUND) -> None:
        self.skip = skip
        self.title = self.date = ""
        self._pieces: list[str] = []
        self._skipped = 0
        self._href: list[str] = []
        self._in_title = self._in_cell = self._pre = False
        self._row: list[str] | None = None
        self._rows = 0

    def begin(self, tag: str, given: dict[str, str]) -> None:
        """A tag opens."""
        if tag in self.skip:
            self._skipped += 1
        if self._skipped:
            return
        if tag in ABOUT:
            self._about(tag, given)
        if tag in ("td", "th"):
            self._in_cell = True
            self._row = [] if self._row is None else self._row
            self._row.append("")
        elif tag == "tr":
            self._end_row()
            self._row = []
        elif tag == "a":
            self._href.append(given.get("href", "").strip())
            self._put("[" if self._href[-1] else "")
        elif tag in BLOCKS:
            self._put("\n")
            self._put(_mark(tag))
        self._rows = 0 if tag == "table" else self._rows
        self._pre = self._pre or tag == "pre"

    def end(self, tag: str) -> None:
        """A tag closes."""
        if tag in self.skip:
            self._skipped = max(0, self._skipped - 1)
        if self._skipped:
            return
        if tag == "title":
            self._in_title = False
        elif tag == "a" and self._href:
            href = self._href.pop()
            self._put(f"](<{href}>)" if href else "")
        elif tag in ("td", "th"):
            self._in_cell = False
        elif tag in ("tr", "table"):
            self._end_row()
        elif tag in BLOCKS:
            self._put("\n\n" if tag in ("p", "ul", "ol", "table") or _mark(tag).startswith("#") else "\n")
        self._pre = self._pre and tag != "pre"

    def said(self, text: str) -> None:
        """Text."""
        if self._in_title:
            self.title += text
        elif not self._skipped:
            self._put(text if self._pre else _SPACES.sub(" ", text))

    @property
    def closed(self) -> bool:
        """Whether everything that was skipped came to an end."""
        return not self._skipped

    @property
    def text(self) -> str:
        """As Markdown."""
        lines = "".join(self._pieces).split("\n")
        return re.sub(r"\n{3,}", "\n\n", "\n".join(line.strip() for line in lines)).strip()

    def _about(self, tag: str, given: dict[str, str]) -> None:
        if tag == "title" and not self.title:
            self._in_title = True
        named = (given.get("property") or given.get("name") or given.get("itemprop") or "").lower()
        told = given.get("content") or given.get("datetime") or ""
        if (tag == "time" or named in ("article:modified_time", "article:published_time", "date", "datemodified")) and (
            day := re.match(r"\d{4}(-\d\d){0,2}", told)
        ):
            self.date = max(self.date, day[0])

    def _put(self, text: str) -> None:
        if self._in_cell and self._row:
            self._row[-1] += " " if text.startswith("\n") else text
        else:
            self._pieces.append(text)

    def _end_row(self) -> None:
        row, self._row, self._in_cell = self._row, None, False
        if row and any(cell.strip() for cell in row):
            cells = [" ".join(cell.replace("|", "/").split()) for cell in row]
            self._pieces.append(f"\n| {' | '.join(cells)} |")
            if not self._rows:
                self._pieces.append("\n|" + " --- |" * len(cells))
            self._rows += 1


def _tokens(text: str, walk: Walk) -> None:
    """Every tag and text of a page, in one pass; each character is looked at a bounded number of times."""
    at, end = 0, len(text)
    while at < end:
        opens = text.find("<", at)
        opens = end if opens < 0 else opens
        if opens > at:
            walk.said(_unescaped(text[at:opens]))
        if opens == end:
            return
        if text.startswith("<!--", opens):
            at = _after(text, "-->", opens + 4)
            continue
        name = _NAME.match(text, opens + 1)
        closes = text.find(">", opens, opens + LONGEST_TAG)
        if name is None or closes < 0:  # a bare <, or a tag without an end
            at = closes + 1 if closes >= 0 and text[opens + 1 : opens + 2] in ("!", "?", "/") else opens + 1
            walk.said("<" if at == opens + 1 else "")
            continue
        at, tag = closes + 1, name[2].lower()
        if name[1]:
            walk.end(tag)
            continue
        walk.begin(tag, _given(text[name.end() : closes]) if tag in WITH_ATTRIBUTES else {})
        if tag in RAW:
            found = re.compile(f"</{tag}", re.IGNORECASE).search(text, at)
            begin, at = at, end if found is None else found.start()
            walk.said(_unescaped(text[begin:at]))


def _after(text: str, mark: str, at: int) -> int:
    found = text.find(mark, at)
    return len(text) if found < 0 else found + len(mark)


def _given(text: str) -> dict[str, str]:
    found = _ATTRIBUTE.findall(text)
    return {name.lower(): _unescaped(double or single or bare) for name, double, single, bare in found}


def _unescaped(text: str) -> str:
    """Text without references such as &amp;; one to a number of thousands of digits is shorn of most of them first."""
    return html.unescape(_LONG_NUMBER.sub(r"\1", text) if "&#" in text else text)


def _mark(tag: str) -> str:
    if len(tag) == 2 and tag[0] == "h" and tag[1].isdigit():
        return "#" * int(tag[1]) + " "
    return {"li": "- ", "hr": "---"}.get(tag, "")
