"""Where a request goes, by its path.

    [/s/SESSION[/a/AGENT]][/v1]/chat/completions      /responses      /messages[/count_tokens]      /models
    /sessions[/ID[/trajectory | /reward | /end]]      /pause      /resume      /health      /metrics

Report: none.
"""

from typing import NamedTuple
from urllib.parse import unquote

CALLS = ("chat/completions", "responses", "messages", "messages/count_tokens", "models")


class Route(NamedTuple):
    """A path, read.

    Attributes:
        session, agent: that it names; "" for none.
        tail: what is wanted of them.
        call: whether that is a route of a model's API.
    """

    session: str = ""
    agent: str = ""
    tail: str = ""
    call: bool = False


def route_of(path: str) -> Route:
    """A path, read.

    Example:
        >>> route_of("/s/maze-3/a/scout/v1/chat/completions")
        Route(session='maze-3', agent='scout', tail='chat/completions', call=True)
        >>> route_of("/sessions/maze-3/trajectory").tail
        'sessions/maze-3/trajectory'
    """
    parts, session, agent = path.strip("/").split("/"), "", ""
    if len(parts) > 2 and parts[0] == "s":
        session, parts = unquote(parts[1]), parts[2:]
        if len(parts) > 2 and parts[0] == "a":
            agent, parts = unquote(parts[1]), parts[2:]
    if parts[:1] == ["v1"]:
        parts = parts[1:]
    tail = "/".join(parts)
    call = tail in CALLS or tail.startswith("models/")
    return Route(session, agent, tail, call)
