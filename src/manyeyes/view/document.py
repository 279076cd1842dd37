"""`document`: a page in one file that needs nothing else: style, script and content, and a policy that lets in no more.

Its content security policy lets nothing run or load but its own style, script and pictures.
"""

import base64
import hashlib
from importlib.resources import files

from manyeyes.view.markup import Markup, tag, trusted


def document(title: str, content: Markup, *, renewed: int = 0) -> Markup:
    """A page in one file.

    Args:
        content: its main element.
        renewed: seconds after which a browser loads it again; 0 for never.
    """
    style, script = _asset("report.css"), _asset("report.js")
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_policy(script)),
        tag("meta", http_equiv="refresh", content=renewed) if renewed else None,
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", trusted(style)),
    )
    body = tag("body", content, tag("script", trusted(script)))
    return trusted("<!doctype html>\n" + tag("html", head, body, lang="en") + "\n")


def _asset(name: str) -> str:
    return files("manyeyes.view").joinpath("assets", name).read_text(encoding="utf-8")


def _policy(script: str) -> str:
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{digest}'"
