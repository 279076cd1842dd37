"""`Texts`: what a session says through an endpoint, in words: of each call the messages that are new, and the answer.

A call's messages are compared with those of earlier calls as they were written; what one of these holds already is not
kept again, so a session of T turns takes the room of its conversation and not T times that.

Report: App. D.
"""

import hashlib
import re
from collections.abc import Sequence

from manyeyes.agent.gateway.dialect import Json

PICTURE = re.compile(rb'"data:([a-z]+/[a-z0-9.+-]+);base64,([A-Za-z0-9+/=]{64,})"')
LONGEST = 2**20
"""Bytes of one call's new messages that are kept."""
KEPT_CALLS = 10_000


class Texts:
    """Of one session."""

    def __init__(self) -> None:
        self._known: dict[bytes, int] = {}
        self._calls = 0

    def note(self, messages: Sequence[bytes], answer: bytes) -> Json:
        """What a call adds, as JSON texts.

        Args:
            messages: of the conversation, each as it was written.
            answer: the message that came back.

        Returns:
            `call`, its number; `continues`, the earlier call whose messages it goes on from; `added`; `answer`.
        """
        chain, continues, at = b"", None, 0
        for number, message in enumerate(messages):
            chain = hashlib.blake2b(chain + message, digest_size=16).digest()
            if (known := self._known.get(chain)) is not None:
                continues, at = known, number + 1
        call, self._calls = self._calls, self._calls + 1
        if len(self._known) < KEPT_CALLS:
            self._known[chain] = call
        added = b"[" + b",".join(map(_without_pixels, messages[at:])) + b"]"
        told = added.decode("utf-8", "replace") if len(added) <= LONGEST else "[]"
        said = {"call": call, "continues": continues, "added": told, "answer": answer.decode("utf-8", "replace")}
        return said | ({"left_out": len(added)} if len(added) > LONGEST else {})


def _without_pixels(message: bytes) -> bytes:
    """A message whose pictures stand for themselves by the hash of their base64."""
    if b'"data:' not in message:
        return message
    return PICTURE.sub(lambda m: b'"%s;blake2b,%s"' % (m[1], _hash(m[2])), message)


def _hash(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).hexdigest().encode()
