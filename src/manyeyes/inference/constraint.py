"""`Grammars`: constrained decoding. A grammar says which ids may come next, the sampler masks all others.

    make = Grammars(tokenizer).compiled(grammar)        # slow once: milliseconds to a second
    SamplingParams(..., constraint=make)                # each completion gets its own: microseconds

Grammars are llguidance's Lark; text in them never matches a special token, which is named by its id, `<[163597]>`. What
the library cannot hold is refused when the grammar is compiled, so that a constraint that begins also holds.

Report: none; tool calls as in App. D. Library: llguidance 1.x.
"""

import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manyeyes.core.errors import ConfigError
from manyeyes.core.sampler import Constraint, RequestError
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.inference.constraint_schema import unheld

KEPT = 32
"""Compiled grammars; agents of one kind ask with the same tools again and again."""
LONGEST = 2**20
"""Characters of a grammar."""
LIMITS = {"max_lexer_states": 25_000, "verbose_errors": False}
"""A state takes 1 to 2 kB, says the library: 50 MB for the worst grammar instead of 500."""
NEEDS = "constrained decoding needs llguidance: pip install 'manyeyes[serve]'"


class GrammarError(RequestError):
    """A grammar or schema that cannot be held; the message names the keyword at fault."""


class Grammars:
    """Compiles grammars for one vocabulary; safe to use from threads.

    Args:
        tokenizer: ids and their bytes; `<|im_end|>` is what may follow a complete text.

    Raises:
        ConfigError: llguidance is not installed.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        try:
            import llguidance
        except ImportError:
            raise ConfigError(NEEDS) from None
        self.tokenizer = tokenizer
        self._library: Any = llguidance
        self._vocabulary: Any = llguidance.LLTokenizer(
            llguidance.TokenizerWrapper(_Vocabulary(tokenizer)), n_vocab=tokenizer.n_vocab, eos_token=tokenizer.im_end
        )
        self._limits: Any = llguidance.LLParserLimits(**LIMITS)
        self._kept: OrderedDict[str, Any] = OrderedDict()
        self._lock = threading.Lock()

    def compiled(self, grammar: str) -> Callable[[], Constraint]:
        """What makes constraints of a Lark grammar; fast when it was compiled lately.

        Raises:
            GrammarError: it cannot be held.
        """
        with self._lock:
            matcher = self._kept.pop(grammar, None) or self._compile(grammar)
            self._kept[grammar] = matcher
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return lambda: GrammarConstraint(matcher.deep_copy())

    def check_schema(self, schema: Mapping[str, Any], where: str) -> None:
        """Refuse what the library cannot hold.

        Args:
            where: whose schema it is, for the message.

        Raises:
            GrammarError: with the keyword at fault.
        """
        matcher = self._library.LLMatcher
        try:
            if wrong := unheld(schema):
                raise GrammarError(f"{where}: the schema cannot be enforced: {wrong}")
            grammar = matcher.grammar_from_json_schema(json.dumps(schema), overrides={"lenient": False})
            wrong, messages = matcher.validate_grammar_with_warnings(grammar, self._vocabulary, limits=self._limits)
        except (ValueError, RecursionError) as error:
            raise GrammarError(f"{where}: the schema cannot be read ({_one_line(error)})") from None
        if wrong or messages:
            raise GrammarError(f"{where}: the schema cannot be enforced ({_one_line(messages[0])})")

    def _compile(self, grammar: str) -> Any:
        if len(grammar) > LONGEST:
            raise GrammarError(f"schemas of {len(grammar):,} characters as a grammar, at most {LONGEST:,} are taken")
        matcher = self._library.LLMatcher(
            self._vocabulary, self._library.LLMatcher.grammar_from_lark(grammar), log_level=0, limits=self._limits
        )
        if matcher.is_error():
            raise GrammarError(f"the grammar cannot be enforced ({_one_line(matcher.get_error())})")
        return matcher


class GrammarConstraint:
    """A completion's place in a grammar; see `core.sampler.Constraint`.

    It never raises, as a sampler asks it in the middle of a step for many requests: a text that grew too ambiguous to
    go on with, or an id that the mask had left out, allows nothing any more. Such a completion ends without a stop id.
    """

    def __init__(self, matcher: Any) -> None:
        self._matcher = matcher

    def mask(self, out: NDArray[np.int32]) -> None:
        """See `Constraint.mask`."""
        words = np.frombuffer(self._matcher.compute_bitmask(), np.int32)
        out[:] = 0
        if not self.broken:
            out[: len(words)] = words[: len(out)]

    def accept(self, token: int) -> None:
        """See `Constraint.accept`."""
        self._matcher.consume_token(int(token))

    @property
    def finished(self) -> bool:
        """See `Constraint.finished`."""
        return self._matcher.is_stopped() and not self.broken

    @property
    def broken(self) -> bool:
        """Whether nothing may come any more, not even the end."""
        return self._matcher.is_error()


class _Vocabulary:
    """The vocabulary as the library reads it: special tokens are marked by a byte that no text has."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        special = range(tokenizer.n_ranks, tokenizer.n_vocab)
        self.tokens = [*tokenizer.tokens, *(b"\xff" + tokenizer.token_bytes(token) for token in special)]
        self.special_token_ids = list(special)
        self.bos_token_id, self.eos_token_id = tokenizer.bos, tokenizer.im_end
        self._tokenizer = tokenizer

    def __call__(self, text: str | bytes) -> list[int]:
        return self._tokenizer.encode(text if isinstance(text, str) else text.decode("utf-8", "replace"))


def _one_line(said: object) -> str:
    return " ".join(str(said).split())[:300]
