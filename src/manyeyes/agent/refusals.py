"""What it means when an endpoint gives no answer: who can help, whether the same request may work later, and when.

    Again              the same request may succeed
    ├── Busy           429, 503: too many for now
    ├── NoQuota        401, 402, 403, and 429 for lack of money: nobody's call will work until a person acts
    └── Transient      nobody's fault: 5xx, a cut or silent stream
    ModelError         this call's own fault

A 429 is for lack of money when it names no time to come back and says so; "quota" alone is also what Azure and Gemini
call an ordinary rate limit. None of the first four leaves `openai_chat`.

Report: App. D.
"""

import email.utils
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import aiohttp
import msgspec

from manyeyes.agent.chat_model import ErrorKind, ModelError
from manyeyes.agent.endpoint import Endpoint

BUSY = (429, 503)
AGAIN = (408, 409, 500, 502, 504, 520, 522, 524, 529)
NO_MONEY = re.compile(
    r"insufficient[ _](quota|balance|credit|fund)|exceeded_current_quota|billing|\bbalance\b|suspended"
)
COME_BACK = re.compile(r"(retry|try again) (in|after)\b")
"""Said by endpoints that name the time in the text and not in Retry-After, as Gemini does."""
AT_ONCE = "concurren"
"""In what an endpoint says whose limit is on calls under way, as Moonshot's is."""
OVERFLOW_WORDS = ("context length", "context_length", "maximum context", "too many tokens", "context window")
DEFAULT_RETRY_AFTER, LONGEST_RETRY_AFTER = 1.0, 120.0


class Again(Exception):
    """A failure after which the same request may succeed. `counts`: towards `Endpoint.retries`."""

    counts = 0

    def __init__(self, why: str, *, status: int = 0, partial: str = "", retry_after: float = 0.0) -> None:
        super().__init__(why)
        self.status, self.partial, self.retry_after = status, partial, retry_after


class Busy(Again):
    """Too many calls, or too many tokens, for now; `at_once`: too many under way, says the endpoint."""

    def __init__(self, why: str, *, status: int = 0, retry_after: float = 0.0, at_once: bool = False) -> None:
        super().__init__(why, status=status, retry_after=retry_after)
        self.at_once = at_once


class NoQuota(Again):
    """No money, no right, or no key: nobody's call will work until a person acts."""


class Transient(Again):
    """Nobody's fault."""

    counts = 1


@dataclass(slots=True)
class Course:
    """How a call fares.

    Attributes:
        began: when, on the monotonic clock.
        waited: seconds for a turn and between tries.
        paused: seconds of these for which the run was paused.
        refused: seconds of patience that are used up: tries after the first refusal, and pauses that were asked for.
    """

    began: float
    waited: float = 0.0
    paused: float = 0.0
    attempts: int = 0
    failures: int = 0
    refused: float = 0.0
    _refusals: int = 0
    _asked: float = 0.0
    _tried: float = 0.0

    def tries(self, now: float) -> None:
        """A try begins."""
        self.attempts += 1
        self._tried = now

    def failed(self, failure: Again, now: float) -> None:
        """A try is over."""
        self.failures += failure.counts
        if isinstance(failure, Busy):
            if self._refusals:
                self.refused += self._asked + now - self._tried
            self._refusals, self._asked = self._refusals + 1, failure.retry_after


class Said(NamedTuple):
    """What a refusal says: in one short line for people, and all of its words in small letters."""

    line: str
    words: str


async def start_of(response: aiohttp.ClientResponse) -> Any:
    """The error that a refusal holds, or its text."""
    content = await response.content.read(4096)
    try:
        said = msgspec.json.decode(content)
    except msgspec.DecodeError:
        return content.decode("utf-8", "replace")
    if isinstance(said, list) and len(said) == 1:  # as Gemini answers
        said = said[0]
    return said.get("error", said) if isinstance(said, dict) else said


def said_by(error: Any, endpoint: Endpoint) -> Said:
    """What an error, or a text in its place, says; without the key."""
    fields = error if isinstance(error, dict) else {}
    text = " ".join(str(fields.get("message") or fields.get("detail") or error).split())
    words = " ".join(str(word) for word in (fields.get("code"), fields.get("type"), text) if word)
    return Said(endpoint.hide(text)[:300], words.lower())  # hidden before it is cut: half a key is still too much


def status_of(error: Any) -> int:
    """Of an error inside a stream: its own code, else that of a server's fault."""
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, int) and 400 <= code < 600 else 500


def refusal(status: int, said: Said, headers: Mapping[str, str]) -> Exception:
    """What a status other than 200 means."""
    why = f"HTTP {status}: {said.line}" if said.line else f"HTTP {status}"
    if status in (401, 402, 403) or (status == 429 and _for_lack_of_money(said.words, headers)):
        return NoQuota(why, status=status)
    if status in BUSY:
        return Busy(why, status=status, retry_after=_retry_after(headers), at_once=AT_ONCE in said.words)
    if status in AGAIN or status >= 500:
        return Transient(why, status=status)
    if status == 404:
        why += "; is the address right (most end in /v1), and is the model served there?"
    kind: ErrorKind = "overflow" if any(word in said.words for word in OVERFLOW_WORDS) else "request"
    return ModelError(why, kind=kind, status=status)


def _for_lack_of_money(words: str, headers: Mapping[str, str]) -> bool:
    """Whether a 429 is one that waiting does not help."""
    return "Retry-After" not in headers and not COME_BACK.search(words) and bool(NO_MONEY.search(words))


def _retry_after(headers: Mapping[str, str]) -> float:
    """Seconds that the endpoint asks for; a short pause where it says nothing that can be read."""
    said = headers.get("Retry-After", "")
    try:
        return min(max(float(said), 0.0), LONGEST_RETRY_AFTER)
    except ValueError:
        pass
    try:
        until = email.utils.parsedate_to_datetime(said).timestamp() - time.time()
    except (TypeError, ValueError):
        return DEFAULT_RETRY_AFTER
    return min(max(until, 0.0), LONGEST_RETRY_AFTER)


def why_unanswered(error: BaseException, endpoint: Endpoint) -> str:
    """What kept an endpoint from answering, for people; without the key."""
    said = endpoint.hide(str(error))
    if isinstance(error, aiohttp.ClientConnectorError | ConnectionError):
        return f"cannot be reached ({said}); is the URL right and the server up?"
    if isinstance(error, TimeoutError):
        return (
            f"silent for {endpoint.idle:g} s, without a word of an answer for {endpoint.alive:g} s, or an answer took "
            f"more than {endpoint.wall:g} s"
        )
    if isinstance(error, msgspec.DecodeError):
        return f"sent what is no chat completion ({said})"
    return f"{type(error).__name__}: {said}"
