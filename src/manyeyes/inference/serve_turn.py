"""`TurnReader`: an assistant turn read token by token; the streaming twin of `core.chat_parse`.

    reasoning ─ </think> → content ─ calls_begin → between ─ call_begin → call_id ─ argument_begin → arguments
                                                      ↑______________________call_end_____________________|

Law: what it says, put together, is what `parse` says of the same ids, wherever `parse` says anything. It has no error
of its own: marks out of place are read as what they most likely mean, for the tokens are sampled and paid for.

Report: App. D; the marks are those of the released chat template.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from manyeyes.core.chat_parse import function_name
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.inference.serve_text import TextStream

MISSPELT_BEGIN = "<|tool_call_section_begin|>"
"""The released model sometimes writes the section's mark like this, as text (core.chat_parse)."""
State = Literal["reasoning", "content", "between", "call_id", "arguments", "over"]
Kind = Literal["reasoning", "content", "call", "arguments"]


class Delta(NamedTuple):
    """A piece of the turn.

    Attributes:
        kind: what it adds to; "call" begins a call.
        text: of it.
        index: of the call.
        id, name: of a call that begins.
    """

    kind: Kind
    text: str = ""
    index: int = 0
    id: str = ""
    name: str = ""


class TurnReader:
    """See the module.

    Args:
        tokenizer: the vocabulary.
        thinking: the prompt ended inside a thought.
        stops: texts that end the turn.

    Attributes:
        state: where in the turn it stands.
        calls: begun so far.
        reasoning_tokens: inside the thought, its end included.
    """

    def __init__(self, tokenizer: Tokenizer, *, thinking: bool, stops: Sequence[str] = ()) -> None:
        self._tokenizer, self._stops = tokenizer, tuple(stops)
        self.state: State = "reasoning" if thinking else "content"
        self.calls = self.reasoning_tokens = 0
        self.cut = self._ended_in_call = False
        self._text = self._stream()
        self._id: list[str] = []

    @property
    def waiting(self) -> bool:
        """Whether some text has not come out yet."""
        return self._text.waiting

    @property
    def cut_in_call(self) -> bool:
        """Whether a stop text or a stop id ended it inside a call: nobody is to make that call."""
        return self._ended_in_call or (self.cut and self.state == "arguments")

    def add(self, token: int) -> list[Delta]:
        """What a token adds."""
        if self.cut or self.state == "over":
            return []
        self.reasoning_tokens += self.state == "reasoning"
        if self._tokenizer.is_special(token):
            return self._mark(token)
        said = self._said(self._text.add(self._tokenizer.token_bytes(token)))
        self.cut = self._text.cut
        return said

    def end(self) -> list[Delta]:
        """What is left when nothing more comes."""
        return [*self._said(self._text.end()), *self._close_id(cut=True)] if not self.cut else []

    def _mark(self, token: int) -> list[Delta]:
        tokenizer = self._tokenizer
        if token in tokenizer.stops:
            said = [*self.end(), *self._words_of_id()]
            self._ended_in_call = self.state in ("call_id", "arguments")
            self.state = "over"
            return said
        if token == tokenizer.end_think:
            return self._enter("content") if self.state == "reasoning" else []
        if token == tokenizer.calls_begin:
            return self._enter("between") if self.state in ("reasoning", "content") else []
        if token == tokenizer.call_begin:
            return self._enter("call_id")
        if token == tokenizer.call_argument_begin and self.state == "call_id":
            return self._enter("arguments")
        if token in (tokenizer.call_end, tokenizer.calls_end) and self.state in ("call_id", "arguments"):
            return self._enter("between")
        return []

    def _enter(self, state: State) -> list[Delta]:
        """Close what is open, and go on there."""
        if state == "call_id" and self.state == "content":
            said = self._said(self._text.end_marked()[0])
        else:
            said = self._said(self._text.end())
        said += self._close_id()
        self.state = state
        self._text = self._stream()
        return said

    def _close_id(self, *, cut: bool = False) -> list[Delta]:
        """A call begins when its id is complete; one that was cut in its id never does."""
        if self.state != "call_id" or cut:
            return []
        written = "".join(self._id)
        self._id.clear()
        self.calls += 1
        return [Delta("call", "", self.calls - 1, written, function_name(written))]

    def _words_of_id(self) -> list[Delta]:
        """Of a turn that ends inside a call's id: no call, only text."""
        written = "".join(self._id)
        self._id.clear()
        return [Delta("content", written)] if written else []

    def _said(self, text: str) -> list[Delta]:
        if not text or self.state in ("between", "over"):
            return []
        if self.state == "call_id":
            self._id.append(text)
            return []
        if self.state == "arguments":
            return [Delta("arguments", text, self.calls - 1)]
        return [Delta(self.state, text)]

    def _stream(self) -> TextStream:
        return TextStream(self._stops, marker=MISSPELT_BEGIN if self.state == "content" else "")
