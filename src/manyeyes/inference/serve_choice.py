"""A choice of an answer: sampled tokens as OpenAI's API tells them, piece by piece or whole.

Both kinds, chat and text, read tokens with the same reader whether they are streamed or not, so that pieces put
together are the whole.

Report: none; the forms are those of the OpenAI API reference, with `reasoning_content` as Moonshot has it.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from manyeyes.core.sampler import Completion, StopReason
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.inference.serve_text import TextStream
from manyeyes.inference.serve_turn import Delta, TurnReader

Json = dict[str, Any]
FINISH: dict[StopReason, str] = {
    "stop": "stop", "stop_text": "stop", "length": "length", "aborted": "length", "handed_back": "length",
}  # fmt: skip
Top = Sequence[Sequence[tuple[int, float]]]


class Choice(Protocol):
    """One of the `n` of an answer."""

    def begin(self) -> Json:
        """The first piece."""
        ...

    def take(self, token: int, logprob: float) -> list[Json]:
        """Pieces that a token adds."""
        ...

    def finish(self, done: Completion) -> list[Json]:
        """The last pieces."""
        ...

    def whole(self, done: Completion) -> Json:
        """The choice at once."""
        ...

    @property
    def reasoning_tokens(self) -> int:
        """Of those that were taken."""
        ...


class ChatChoice:
    """See `Choice`.

    Args:
        logprobs: whether they are told, of tokens of the content.
        top: whether alternatives are; they come at the end.
    """

    def __init__(
        self, index: int, tokenizer: Tokenizer, *, thinking: bool, stops: Sequence[str] = (), logprobs: bool = False,
        top: bool = False,
    ) -> None:  # fmt: skip
        self.index, self._tokenizer, self._logprobs, self._top = index, tokenizer, logprobs, top
        self._thinking, self._reader = thinking, TurnReader(tokenizer, thinking=thinking, stops=stops)
        self._taken = self._content_bytes = self._told_bytes = 0
        self._untold: list[tuple[int, int, float]] = []

    @property
    def reasoning_tokens(self) -> int:
        """See `Choice`."""
        return self._reader.reasoning_tokens

    def begin(self) -> Json:
        """See `Choice`."""
        return self._piece({"role": "assistant", "content": ""})

    def take(self, token: int, logprob: float) -> list[Json]:
        """See `Choice`."""
        deltas = self._add(token, logprob)
        ready = self._logprobs and not self._top and not self._reader.waiting and not self._reader.cut
        told = self._tell([]) if ready else []
        return self._pieces(deltas, told)

    def finish(self, done: Completion) -> list[Json]:
        """See `Choice`."""
        deltas = self._counted(self._reader.end())
        told = self._tell(done.top) if self._logprobs else []
        return [*self._pieces(deltas, told), self._piece({}, finish=self._finish(done))]

    def whole(self, done: Completion) -> Json:
        """See `Choice`."""
        deltas = [delta for token, logprob in zip(done.ids, done.logprobs, strict=True)
                  for delta in self._add(token, logprob)]  # fmt: skip
        deltas += self._counted(self._reader.end())
        told = {"content": self._tell(done.top), "refusal": None} if self._logprobs else None
        message = _message(deltas, thinking=self._thinking)
        return {"index": self.index, "message": message, "logprobs": told, "finish_reason": self._finish(done)}

    def _add(self, token: int, logprob: float) -> list[Delta]:
        reader = self._reader
        is_content = reader.state == "content" and not self._tokenizer.is_special(token) and not reader.cut
        if self._logprobs and is_content:
            self._untold.append((self._taken, token, logprob))
        self._taken += 1
        return self._counted(reader.add(token))

    def _counted(self, deltas: list[Delta]) -> list[Delta]:
        self._content_bytes += sum(len(delta.text.encode()) for delta in deltas if delta.kind == "content")
        return deltas

    def _tell(self, top: Top) -> list[Json]:
        """Log-probabilities of tokens whose text was said; what a stop text cut off is left out."""
        told: list[Json] = []
        for at, token, logprob in self._untold:
            if self._reader.cut and self._told_bytes >= self._content_bytes:
                break
            entry = token_entry(token, logprob, self._tokenizer)
            self._told_bytes += len(entry["bytes"])
            others = top[at] if at < len(top) else ()
            told.append({**entry, "top_logprobs": [token_entry(*other, self._tokenizer) for other in others]})
        self._untold.clear()
        return told

    def _pieces(self, deltas: Sequence[Delta], told: list[Json]) -> list[Json]:
        pieces = [self._piece(_delta(delta)) for delta in deltas]
        if told:
            pieces = pieces or [self._piece({})]
            pieces[0]["logprobs"] = {"content": told, "refusal": None}
        return pieces

    def _piece(self, delta: Json, *, finish: str | None = None) -> Json:
        return {"index": self.index, "delta": delta, "logprobs": None, "finish_reason": finish}

    def _finish(self, done: Completion) -> str:
        if self._reader.cut_in_call:
            return "stop"
        ended = "stop" if self._reader.cut else FINISH[done.stop]
        return "tool_calls" if ended == "stop" and self._reader.calls else ended


class TextChoice:
    """See `Choice`; of `/v1/completions`.

    Args:
        before: text that is said first, where the prompt is echoed.
        top: how many alternatives are told; None tells no log-probabilities.
    """

    reasoning_tokens = 0

    def __init__(
        self, index: int, tokenizer: Tokenizer, *, stops: Sequence[str] = (), before: str = "", top: int | None = None
    ) -> None:
        self.index, self._tokenizer, self._before, self._top = index, tokenizer, before, top
        self._text = TextStream(stops)
        self._taken: list[tuple[int, float]] = []

    def begin(self) -> Json:
        """See `Choice`."""
        return self._piece(self._before)

    def take(self, token: int, logprob: float) -> list[Json]:
        """See `Choice`."""
        text = self._add(token, logprob)
        return [self._piece(text)] if text else []

    def finish(self, done: Completion) -> list[Json]:
        """See `Choice`."""
        return [self._piece(self._text.end(), finish=self._finish(done), told=self._told(done.top))]

    def whole(self, done: Completion) -> Json:
        """See `Choice`."""
        text = "".join(self._add(*pair) for pair in zip(done.ids, done.logprobs, strict=True)) + self._text.end()
        return self._piece(self._before + text, finish=self._finish(done), told=self._told(done.top))

    def _add(self, token: int, logprob: float) -> str:
        if not self._text.cut:
            self._taken.append((token, logprob))
        return self._text.add(self._tokenizer.decode_bytes([token], skip_special=True))

    def _told(self, top: Top) -> Json | None:
        if self._top is None:
            return None
        sizes = [len(self._tokenizer.decode([token], skip_special=True)) for token, _ in self._taken]
        return {
            "tokens": [self._tokenizer.decode([token]) for token, _ in self._taken],
            "token_logprobs": [logprob for _, logprob in self._taken],
            "top_logprobs": [{self._tokenizer.decode([i]): p for i, p in others} for others in top[: len(self._taken)]],
            "text_offset": [len(self._before) + sum(sizes[:at]) for at in range(len(sizes))],
        }

    def _finish(self, done: Completion) -> str:
        return "stop" if self._text.cut else FINISH[done.stop]

    def _piece(self, text: str, *, finish: str | None = None, told: Json | None = None) -> Json:
        return {"index": self.index, "text": text, "logprobs": told, "finish_reason": finish}


def token_entry(token: int, logprob: float, tokenizer: Tokenizer) -> Json:
    """A token and its log-probability."""
    said = tokenizer.token_bytes(token)
    return {"token": said.decode("utf-8", "replace"), "logprob": logprob, "bytes": list(said)}


def _delta(delta: Delta) -> Json:
    if delta.kind == "reasoning":
        return {"reasoning_content": delta.text}
    if delta.kind == "content":
        return {"content": delta.text}
    if delta.kind == "call":
        function = {"name": delta.name, "arguments": ""}
        return {"tool_calls": [{"index": delta.index, "id": delta.id, "type": "function", "function": function}]}
    return {"tool_calls": [{"index": delta.index, "function": {"arguments": delta.text}}]}


def _message(deltas: Sequence[Delta], *, thinking: bool) -> Json:
    """The pieces put together."""
    calls = [_call(begun, _said(deltas, "arguments", begun.index)) for begun in deltas if begun.kind == "call"]
    content = _said(deltas, "content", 0)
    message: Json = {"role": "assistant", "content": content or (None if calls else ""), "refusal": None}
    if thinking:
        message["reasoning_content"] = _said(deltas, "reasoning", 0)
    return message | ({"tool_calls": calls} if calls else {})


def _call(begun: Delta, arguments: str) -> Json:
    return {"id": begun.id, "type": "function", "function": {"name": begun.name, "arguments": arguments}}


def _said(deltas: Sequence[Delta], kind: str, index: int) -> str:
    return "".join(delta.text for delta in deltas if (delta.kind, delta.index) == (kind, index))
