"""What a server sent, as a `Page`: HTML, plain text, PDF.

    HTML    → Markdown (`html_walk`)
    article → asked for, trafilatura takes the article out of a long page; off by default: it needs ten times as long
              as the walk, and drops titles and links of short pages
    PDF     → pypdfium2, where it is installed

Report: App. E.8 (web pages, PDFs).
"""

import io
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import Any

from manyeyes.agent.tools.guarded_client import Fetched
from manyeyes.agent.tools.html_walk import walked
from manyeyes.agent.tools.net_guard import FetchError
from manyeyes.agent.tools.page import Page

TEXTS = ("text/", "application/json", "application/xml", "application/xhtml", "application/csv", "application/x-yaml")
LONG = 12_000
"""Characters of Markdown from which on it is worth to look for an article."""
ENOUGH = 0.2
"""Of the text that the article must hold to be taken instead of the whole."""
MOST_PAGES = 300
PDF_SECONDS, PDF_WAIT_SECONDS = 20.0, 40.0
"""Of reading pages, which may all show one thing that is unpacked to a gigabyte; and of waiting for other readers."""
_PDFIUM = threading.Lock()
"""PDFium is not safe for threads, not even on documents of their own; whoever reads a PDF holds this."""


def extract(fetched: Fetched, *, article: bool = False) -> Page:
    """The page that was fetched. Slow for long pages (tens of milliseconds): call it in a thread.

    Args:
        fetched: what the server sent.
        article: leave out what surrounds the article of a long page, where trafilatura is installed.

    Raises:
        FetchError: it holds nothing that can be read as text.
    """
    kind = fetched.content_type or _guessed(fetched.content)
    if kind == "application/pdf":
        return _pdf(fetched)
    if not kind.startswith(TEXTS):
        raise FetchError(f"{fetched.url} is {kind}, which cannot be read as a page")
    text = _decoded(fetched)
    if "html" not in kind:
        return Page.from_markdown(fetched.url, fetched.url, text, date=_day(fetched))
    walk = walked(text)
    whole = walk.text
    found = _article(text, fetched.url) if article and len(whole) > LONG else ""
    text = found if found and len(found) >= ENOUGH * len(whole) else whole
    return Page.from_markdown(fetched.url, walk.title, text, date=walk.date or _day(fetched))


def _article(text: str, url: str) -> str:
    try:
        import trafilatura  # pyright: ignore[reportMissingImports]
    except ImportError:  # not there, or there without what it needs itself
        return ""
    found = trafilatura.extract(text, url=url, output_format="markdown", include_links=True, include_tables=True)
    return found or ""


def _pdf(fetched: Fetched) -> Page:
    try:
        import pypdfium2
    except ImportError:
        raise FetchError(f"{fetched.url} is a PDF; reading it needs pypdfium2: pip install 'manyeyes[web]'") from None
    try:
        with _pdfium(fetched.url), pypdfium2.PdfDocument(io.BytesIO(fetched.content)) as document:
            pages = _pdf_pages(document)
            left, title = len(document) - len(pages), document.get_metadata_dict().get("Title", "")
    except pypdfium2.PdfiumError as error:
        raise FetchError(f"{fetched.url} is a PDF that cannot be read: {error}") from None
    text = "\n\n".join(f"## Page {number}\n\n{text}" for number, text in enumerate(pages, 1))
    text += f"\n\n({left} more pages were not read)" if left else ""
    return Page.from_markdown(fetched.url, title or fetched.url, text, date=_day(fetched))


@contextmanager
def _pdfium(url: str) -> Iterator[None]:
    """PDFium for one reader. Who waits holds a thread that others need, so nobody waits for long."""
    if not _PDFIUM.acquire(timeout=PDF_WAIT_SECONDS):
        raise FetchError(f"{url} is a PDF, and others are being read; try again later")
    try:
        yield
    finally:
        _PDFIUM.release()


def _pdf_pages(document: Any) -> list[str]:
    """Texts of the first pages, as many as there is time for."""
    until, texts = time.monotonic() + PDF_SECONDS, list[str]()
    for number in range(min(len(document), MOST_PAGES)):
        if time.monotonic() > until:
            break
        texts.append(_pdf_text(document[number]))
    return texts


def _pdf_text(page: "object") -> str:
    text: Callable[[], str] = page.get_textpage().get_text_bounded  # pyright: ignore[reportAttributeAccessIssue]
    return text().replace("\r\n", "\n")


def _guessed(content: bytes) -> str:
    head = content[:1024].lstrip().lower()
    if head.startswith(b"%pdf"):
        return "application/pdf"
    if b"\0" in head:
        return "application/octet-stream"
    return "text/html" if head.startswith(b"<") else "text/plain"


def _decoded(fetched: Fetched) -> str:
    declared = re.search(rb"charset=[\"']?([\w-]+)", fetched.content[:2048])
    for charset in (fetched.charset, declared[1].decode() if declared else "", "utf-8"):
        try:
            return fetched.content.decode(charset or "utf-8")
        except (LookupError, UnicodeDecodeError):
            continue
    return fetched.content.decode("utf-8", errors="replace")


def _day(fetched: Fetched) -> str:
    try:
        return parsedate_to_datetime(fetched.modified).date().isoformat()
    except (TypeError, ValueError):
        return ""
