"""Extraction, the numbered view, and the four page tools."""

import asyncio
import importlib.util
import io
import json
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyeyes.agent.tools import extraction
from manyeyes.agent.tools.citations import Citations
from manyeyes.agent.tools.extraction import LONG, extract
from manyeyes.agent.tools.guarded_client import Fetched
from manyeyes.agent.tools.html_walk import walked
from manyeyes.agent.tools.net_guard import FetchError
from manyeyes.agent.tools.page import LINES_A_VIEW, LONGEST_LINE, Link, Page, plain
from manyeyes.agent.tools.pages import MOST_OPEN, PageTools
from manyeyes.agent.toolset import ToolResult
from manyeyes.core.messages import ToolCall

HTML = """<!doctype html><html><head><title>Iceland &amp; more</title><style>p {}</style>
<meta property="article:modified_time" content="2025-02-03T00:00:00Z"></head>
<body><nav><a href="/home">Home</a> menu</nav><script>evil()</script>
<h1>Iceland</h1><p>An   island
with <a href="/wiki/Reykjavik">its <b>capital</b></a>&nbsp;Reykjavik.<br>Next line.</p>
<ul><li>fire<li>ice</ul>
<table><tr><th>Year</th><th>People</th></tr><tr><td>2014</td><td><a href="p">328,170</a></td></tr></table>
<pre>a  b
  c</pre><a href="javascript:x()">no</a> <a>bare</a><img src="x.png" alt="a picture">
<p>Some more words so that the page is long enough to be taken for a page with something to read on it, which takes
about two hundred characters in all, and here they are.</p>
<footer>imprint</footer></body></html>"""


def html(text: str) -> Fetched:
    return Fetched("https://a.example/x/", text.encode(), "text/html", "utf-8")


def installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def test_html_becomes_markdown() -> None:
    found = walked(HTML)
    assert found.title == "Iceland & more" and found.date == "2025-02-03"
    page = Page.from_markdown("https://a.example/x/", found.title, found.text)
    text = "\n".join(page.lines)
    assert "# Iceland" in page.lines and "- fire" in page.lines and "- ice" in page.lines
    assert "An island with [its capital](#1) Reykjavik." in text.replace("\xa0", " ") and "Next line." in page.lines
    assert page.lines[page.lines.index("| Year | People |") + 1 :][:2] == ("| --- | --- |", "| 2014 | [328,170](#2) |")
    assert page.links == (
        Link("its capital", "https://a.example/wiki/Reykjavik"), Link("328,170", "https://a.example/x/p"),
    )  # fmt: skip
    assert not any(word in text for word in ("evil", "menu", "imprint", "p {}", "javascript"))


def test_menus_are_read_when_there_is_nothing_else() -> None:
    assert "only this" in "\n".join(extract(html("<nav><a href=/b>only this</a></nav>")).lines)


def test_a_menu_without_an_end_takes_nothing_along() -> None:
    page = extract(html(f"<p>{'before ' * 60}</p><nav>menu<p>after</p>"))
    assert "after" in page.lines and extract(html("İ<script>x</script>y" + "İ" * 300)).lines[0].startswith("İy")


@given(st.text(alphabet="<>/ab \n&;=\"'!-", max_size=200))
def test_no_html_is_too_broken(text: str) -> None:
    extract(html(text))


@given(st.lists(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="<>&\r"), min_size=1, max_size=50)))
def test_words_of_paragraphs_survive(paragraphs: list[str]) -> None:
    body = "".join(f"<p>{text}</p>" for text in paragraphs)
    got = walked(f"<html><body>{body}</body></html>").text
    for text in paragraphs:
        assert all(word in got for word in text.split())


HOSTILE = {
    "nested": "<div>", "comments": "<!--", "quotes": '<a "', "attributes": "<a a=b>", "cells": "<table><tr><td>",
    "bare": "<", "ends": "</", "declarations": "<![CDATA[", "scripts": "<script>", "links": "[a](", "brackets": "[a",
    "lines": "a\n", "words": "word ", "letters": "x", "many links": "[a](b) ", "titles": "<title>", "amps": "&amp",
    "href": '<a href="', "long names": f"<a {'a' * 1990}>", "numbers": "&#1",
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_time_grows_with_the_length_of_a_page_and_not_with_its_square(name: str) -> None:
    piece = HOSTILE[name]

    def seconds(size: int) -> float:
        began = time.process_time()
        extract(html(piece * (size // len(piece))))
        return time.process_time() - began

    short, long = seconds(100_000), seconds(800_000)
    assert long < 30 * max(short, 0.01) and long < 10, (short, long)


@pytest.mark.skipif(not installed("trafilatura"), reason="trafilatura is not installed")
def test_the_article_of_a_long_page_is_taken_out_of_what_surrounds_it() -> None:
    prose = "".join(
        f"<p>Sentence number {i} of an article about islands and the people who live there.</p>" for i in range(300)
    )
    around = "".join(f"<div><a href='/ad{i}'>Buy thing {i}</a></div>" for i in range(40))
    page = extract(
        html(
            f"<html><head><title>T</title></head><body>{around}<article><h1>Islands</h1>{prose}</article></body></html>"
        ),
        article=True,
    )
    text = "\n".join(page.lines)
    assert len(text) > LONG and "Sentence number 299" in text and page.title == "T"


def test_a_reference_to_a_number_of_thousands_of_digits_is_a_letter_like_others() -> None:
    page = extract(html(f"<p>&#{'1' * 5_000}; &amp; &#65;</p><p>the end</p>"))
    assert page.lines[0] == "\N{REPLACEMENT CHARACTER} & A" and page.lines[-1] == "the end"


def test_a_title_is_no_place_for_a_book() -> None:
    page = extract(html(f"<title>{'word ' * 100_000}</title><p>text</p>"))
    assert page.title.startswith("word word") and len(page.view(1, cite=1)) < 1_000


def test_text_json_and_the_unreadable() -> None:
    assert extract(Fetched("https://a.example/", b"one\n\n\n\ntwo", "text/plain")).lines == ("one", "", "two")
    assert extract(Fetched("https://a.example/", b'{"a": 1}', "application/json")).lines == ('{"a": 1}',)
    assert extract(Fetched("https://a.example/", "früh".encode("latin-1"), "text/plain", "latin-1")).lines == ("früh",)
    assert extract(Fetched("https://a.example/", b"<p>guess", "")).lines == ("guess",)
    with pytest.raises(FetchError, match="image/png"):
        extract(Fetched("https://a.example/", b"\x89PNG", "image/png"))
    with pytest.raises(FetchError, match="octet-stream"):
        extract(Fetched("https://a.example/", b"\0\1\2", ""))


def pdf(text: str) -> bytes:
    """A PDF of one page, made by hand."""
    stream = f"BT /F1 24 Tf 72 700 Td ({text}) Tj ET".encode()
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R "
        b"/Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    out, places = io.BytesIO(b"%PDF-1.4\n"), []
    out.seek(0, io.SEEK_END)
    for number, one in enumerate(objects, 1):
        places.append(out.tell())
        out.write(b"%d 0 obj\n%s\nendobj\n" % (number, one))
    start = out.tell()
    out.write(b"xref\n0 6\n0000000000 65535 f \n" + b"".join(b"%010d 00000 n \n" % place for place in places))
    out.write(b"trailer << /Size 6 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF" % start)
    return out.getvalue()


@pytest.mark.skipif(not installed("pypdfium2"), reason="pypdfium2 is not installed")
def test_a_pdf_is_read() -> None:
    page = extract(Fetched("https://a.example/a.pdf", pdf("Hello island"), "application/pdf"))
    assert "Hello island" in "\n".join(page.lines) and "## Page 1" in page.lines
    with pytest.raises(FetchError, match="cannot be read"):
        extract(Fetched("https://a.example/a.pdf", b"%PDF-1.4 broken", "application/pdf"))


@pytest.mark.skipif(not installed("pypdfium2"), reason="pypdfium2 is not installed")
def test_a_pdf_takes_others_no_more_than_its_time(monkeypatch) -> None:
    fetched = Fetched("https://a.example/a.pdf", pdf("Hello island"), "application/pdf")
    monkeypatch.setattr(extraction, "PDF_SECONDS", -1.0)
    assert extract(fetched).lines == ("(1 more pages were not read)",)
    monkeypatch.setattr(extraction, "PDF_WAIT_SECONDS", 0.001)
    with extraction._PDFIUM, pytest.raises(FetchError, match="others are being read"):
        extract(fetched)


@pytest.mark.skipif(not installed("pypdfium2"), reason="pypdfium2 is not installed")
def test_pdfs_are_read_one_at_a_time(monkeypatch) -> None:
    import pypdfium2

    inside, most, lock = 0, 0, threading.Lock()

    class Watched(pypdfium2.PdfDocument):
        def __enter__(self):
            nonlocal inside, most
            with lock:
                inside, most = inside + 1, max(most, inside + 1)
            time.sleep(0.005)
            return super().__enter__()

        def __exit__(self, *about):
            nonlocal inside
            with lock:
                inside -= 1
            return super().__exit__(*about)

    monkeypatch.setattr(pypdfium2, "PdfDocument", Watched)
    files = [Fetched("https://a.example/a.pdf", pdf(f"island {n}"), "application/pdf") for n in range(12)]
    with ThreadPoolExecutor(6) as pool:
        pages = list(pool.map(extract, files))
    assert most == 1 and all(f"island {n}" in "\n".join(page.lines) for n, page in enumerate(pages))


@given(st.text(max_size=400))
def test_a_page_of_any_text_has_a_view_of_every_line(text: str) -> None:
    page = Page.from_markdown("https://a.example/", "T", text)
    seen: list[str] = []
    for first in range(1, len(page.lines) + 1, LINES_A_VIEW):
        for line in page.view(first, cite=1).split("\n")[2:-1]:
            seen.append(line.partition(": ")[2])
    assert seen == list(page.lines) and all(len(line) <= 8 * LONGEST_LINE for line in page.lines)
    assert all(1 <= int(number) <= len(page.links) for line in page.lines for number in _refs(line) if "[" in line)


def _refs(line: str) -> list[str]:
    return re.findall(r"\]\(#(\d{1,4})\)", line)


LONG_PAGE = Page.from_markdown(
    "https://a.example/long",
    "Long",
    "\n".join([f"line {i} about thing {i % 7}" for i in range(1, 151)]),
    date="2025-01-01",
)
OTHER = Page.from_markdown(
    "https://a.example/other", "Other", "Back to [the long one](/long) or [away](https://gone.example/)."
)


class Source:
    """Two pages."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def page(self, url: str) -> Page:
        self.asked.append(url)
        for page in (LONG_PAGE, OTHER):
            if page.url == url.rstrip("/"):
                return page
        raise FetchError(f"{url} answered 404 Not Found")


def used(*calls: tuple[str, dict], noted: list | None = None, source: Source | None = None) -> list[ToolResult]:
    async def go() -> list[ToolResult]:
        tools = PageTools(source or Source(), Citations(noted or ()), noted or ())
        await tools.open()
        results = [await tools.call(ToolCall(str(i), name, json.dumps(said))) for i, (name, said) in enumerate(calls)]
        await tools.close()
        return results

    return asyncio.run(go())


def test_a_page_is_opened_scrolled_and_searched() -> None:
    opened, scrolled, back, found, missing = used(
        ("open", {"url": "https://a.example/long"}), ("scroll", {}), ("scroll", {"pages": -1}),
        ("find", {"text": "THING  3"}), ("find", {"text": "nowhere"}),
    )  # fmt: skip
    assert opened.text.startswith("[^1^] Long (2025-01-01)\nhttps://a.example/long\nL1: line 1 about thing 1\n")
    assert opened.text.endswith("(lines 1-60 of 150; scroll shows more; cite as [^1^])")
    assert "L61: line 61" in scrolled.text and "L60: " not in scrolled.text and "(lines 61-120 of 150;" in scrolled.text
    assert "(lines 1-60 of 150" in back.text
    assert "found 22 times" in found.text and "L2: line 2" in found.text and "(2 more)" in found.text
    assert not missing.failure and "is not on" in missing.text
    assert opened.data == {"page": LONG_PAGE.url, "title": "Long", "first": 1, "cited": {"1": LONG_PAGE.url}}


def test_the_end_of_a_page_is_the_end() -> None:
    _, far, line = used(
        ("open", {"url": LONG_PAGE.url}), ("scroll", {"pages": 99}), ("open", {"url": LONG_PAGE.url, "line": 140})
    )
    assert "L150: " in far.text and "scroll shows more" not in far.text and "L140: " in line.text


def test_links_are_clicked_by_number() -> None:
    source = Source()
    opened, clicked, wrong, gone = used(
        ("open", {"url": OTHER.url}), ("click", {"ref": 1}), ("click", {"ref": 9, "url": OTHER.url}),
        ("click", {"ref": 2, "url": OTHER.url}), source=source,
    )  # fmt: skip
    assert "[the long one](#1) or [away](#2)" in opened.text and clicked.text.startswith("[^2^] Long")
    assert wrong.failure == "refused" and "links 1 to 2" in wrong.text
    assert gone.failure == "refused" and "404" in gone.text
    assert source.asked == [OTHER.url, LONG_PAGE.url, "https://gone.example/"]


def test_calls_may_name_their_page_or_mean_the_last_one() -> None:
    nothing, *_, found, last = used(
        ("scroll", {}), ("open", {"url": LONG_PAGE.url}), ("open", {"url": OTHER.url}),
        ("find", {"text": "line 7 ", "url": LONG_PAGE.url}), ("find", {"text": "away"}),
    )  # fmt: skip
    assert nothing.failure == "refused" and "open one first" in nothing.text
    assert "L7: line 7" in found.text and "found 1 times" in last.text and OTHER.url in last.text


def test_an_interrupted_agent_finds_its_page_again() -> None:
    first = used(("open", {"url": OTHER.url}), ("open", {"url": LONG_PAGE.url}), ("scroll", {}))
    (after,) = used(("scroll", {}), noted=[result.data for result in first])
    assert after.text.startswith("[^2^] Long") and "(lines 121-150 of 150" in after.text


def test_words_of_links_are_found_without_their_numbers() -> None:
    assert OTHER.found("the long one or") == [1] and plain("[a [b]](#3) c") == "a [b] c"
    page = Page.from_markdown("https://a.example/", "", "[Kastrup (CPH)](/cph_(airport)) ![map](m.png) [top](#top)")
    assert page.lines == ("[Kastrup (CPH)](#1) map top",) and page.links[0].url == "https://a.example/cph_(airport)"


class Moved(Source):
    """The long page under a former address, and as many others as are wanted."""

    async def page(self, url: str) -> Page:
        self.asked.append(url)
        if url in ("https://a.example/former", LONG_PAGE.url):
            return LONG_PAGE
        return Page.from_markdown(url, url, "\n".join(f"{url} {i}" for i in range(200)))


def test_a_page_that_moved_is_scrolled_by_its_former_address() -> None:
    source, former = Moved(), {"url": "https://a.example/former"}
    _, once, twice, last = used(
        ("open", former), ("scroll", former), ("scroll", {"url": LONG_PAGE.url}), ("scroll", former | {"pages": -1}),
        source=source,
    )  # fmt: skip
    assert "(lines 61-120 of 150" in once.text and "(lines 121-150 of 150" in twice.text
    assert "(lines 61-120 of 150" in last.text and source.asked == [former["url"]]


def test_old_pages_are_let_go_and_fetched_again_where_they_stood() -> None:
    async def go() -> None:
        source = Moved()
        tools = PageTools(source, Citations())
        for n in range(MOST_OPEN + 5):
            await tools.open_page(f"https://a.example/{n}", line=7)
        assert len(tools._pages) == MOST_OPEN
        again = await tools.scroll(url="https://a.example/0")
        assert "L67: " in again.text and "L66: " not in again.text and source.asked.count("https://a.example/0") == 2
        await tools.scroll(url=f"https://a.example/{MOST_OPEN + 4}")
        assert len(source.asked) == MOST_OPEN + 6 and len(tools._pages) == MOST_OPEN

    asyncio.run(go())
