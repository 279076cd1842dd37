"""Who may do what: the gateway's token opens everything, a session's key its own session and nothing else.

    key of session S  =  sk-S.MAC        MAC = the first 128 bits of HMAC-SHA256(token, S), in hex

So a key needs no table: whoever has the token can make one for a session that does not exist yet, and the first call
makes the session. What a model writes sees at most the key of its own session, with which it cannot reward itself.

Report: none.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping

from manyeyes.inference.serve_errors import ApiError
from manyeyes.inference.serve_guard import checked_token

SESSION = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,127}\Z")
"""What sessions and agents may be called."""


class Keys:
    """See the module.

    Args:
        token: of the gateway.

    Raises:
        ConfigError: the token is too short to be one.
    """

    def __init__(self, token: str) -> None:
        self.token = checked_token(token)

    def key_of(self, session: str) -> str:
        """The key of a session."""
        return f"sk-{session}.{self._mac(session)}"

    def session_of(self, headers: Mapping[str, str]) -> str:
        """The session whose key came; "" for the gateway's token.

        Raises:
            ApiError: neither came.
        """
        given = _given(headers)
        if hmac.compare_digest(given.encode(errors="replace"), self.token.encode()):
            return ""
        session, dot, mac = given.removeprefix("sk-").rpartition(".")
        if dot and hmac.compare_digest(mac.encode(errors="replace"), self._mac(session).encode()):
            return session
        raise ApiError(401, "the key is missing or wrong: send the gateway's token or the session's key as the API key")

    def _mac(self, session: str) -> str:
        digest = hmac.digest(self.token.encode(), session.encode(errors="replace"), hashlib.sha256)
        return digest[:16].hex()


def checked_name(name: str, what: str) -> str:
    """A name that may stand in a path. Raises ApiError."""
    if not SESSION.match(name):
        raise ApiError(
            400, f"{what}: letters, digits and _ . - only, 1 to 128, not beginning with a dot; got {name[:140]!r}",
            param=what,
        )  # fmt: skip
    return name


def _given(headers: Mapping[str, str]) -> str:
    """OpenAI's clients send `Authorization: Bearer KEY`, Anthropic's `X-Api-Key: KEY`."""
    scheme, _, key = headers.get("Authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else headers.get("X-Api-Key", "").strip()
