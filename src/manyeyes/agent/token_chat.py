"""`TokenChat`: a `ChatModel` over a `Sampler`; renders only what is new, and sends what was sampled as it was sampled.

    ids of turn k+1  =  ids of turn k + ids sampled in turn k + what the template and the world say next

holds whenever the conversation only grew and the template allows it. Where it does not hold the turn is a *fork*: it is
counted, and its tokens are a branch of their own (`token_chat_sampled`). What "the template allows" is `history`:

    "append"      every turn keeps its reasoning (K2.6's `preserve_thinking`): the law always holds. For training.
    "as_served"   the released K2.5 template: once a final answer closes a turn, its reasoning is gone. As it is served.

Both send sampled ids as they were sampled and never a second encoding of their text, but where that would say something
else than the template does.

Report: App. D (token in, token out).
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from manyeyes.agent.chat_model import DEFAULT_SAMPLING, ModelError, Reply, Sampling, Usage
from manyeyes.agent.gate import Gate
from manyeyes.agent.limiter import Limiter
from manyeyes.agent.token_chat_mode import Mode
from manyeyes.agent.token_chat_persistence import Course, Persistence
from manyeyes.agent.token_chat_prompt import History, Prompt
from manyeyes.agent.token_chat_reading import ContentStream, Read, read
from manyeyes.agent.token_chat_sampled import Sampled
from manyeyes.agent.token_chat_turns import KEPT_TOKENS, Turn
from manyeyes.core import seeds
from manyeyes.core.errors import ConfigError
from manyeyes.core.media import MediaRules
from manyeyes.core.messages import Message, Tool
from manyeyes.core.sampler import Completion, Sampler, SampleRequest, SamplingParams
from manyeyes.core.tokenizer import Tokenizer

LONGEST_ANSWER = 4_096
"""Tokens, where the sampling sets no limit."""
SETTINGS = ("top_k", "min_p", "seed", "thinking")
"""Of `Sampling.extra`, that are understood; "thinking" is the mode of this one answer."""
ASKED = 2**16
"""Conversations of which is known how often they were asked, so that each answer has a seed of its own."""


class TokenChat:
    """Answers conversations with tokens of a sampler. Belongs to one event loop.

    Args:
        sampler: what generates tokens.
        tokenizer: the vocabulary of its model.
        rules: how pictures and clips become tokens of its model.
        thinking: mode of answers whose sampling does not say (`Sampling.extra["thinking"]`); False is instant mode.
        context_tokens: of prompt and answer together, at most; not more than the sampler takes.
        history: which reasoning of earlier turns stays; see the module.
        never: ids that are not sampled; left out: those of media, which would claim pictures that are not there. For a
            model that has learned little, `out_of_turn` names all that have no place in a turn.
        seed: of everything that is drawn; each answer of each conversation has a stream of its own.
        name: for people and for accounts.
        price: US dollars of a call; free when left out.
        limiter: shared by all that talk to this sampler; a new one when left out.
        retries: further tries after a failure that is nobody's fault.
        patience: seconds of "the queue is full" after which a call fails.
        kept_tokens: of sampled turns that are remembered in each mode.
        record_routing: ask for the experts of each token (`Sampled.routing`), for trainers that replay them.

    Attributes:
        counts: what came of the calls: "fresh", "appended" and "forked: WHY" prompts; "malformed" and "cut" answers;
            "continued" requests; "refused" and "failed" tries.
    """

    def __init__(
        self,
        sampler: Sampler,
        tokenizer: Tokenizer,
        rules: MediaRules,
        *,
        thinking: bool = True,
        context_tokens: int = 32_768,
        history: History = "append",
        never: frozenset[int] | None = None,
        seed: int = 0,
        name: str = "tokens",
        price: Callable[[Usage], float] = lambda usage: 0.0,
        limiter: Limiter | None = None,
        retries: int = 4,
        patience: float = 900.0,
        kept_tokens: int = KEPT_TOKENS,
        record_routing: bool = False,
    ) -> None:
        if context_tokens < 2:
            raise ConfigError(f"context_tokens must leave room for a prompt and an answer, got {context_tokens}")
        self.sampler, self.tokenizer, self.thinking, self.context_tokens = sampler, tokenizer, thinking, context_tokens
        self.limiter = limiter or Limiter()
        self.never = _media_marks(tokenizer) if never is None else never
        self.seed, self.record_routing = seed, record_routing
        self.counts: Counter[str] = Counter()
        self._persistence = Persistence(sampler, self.limiter, self.counts, retries=retries, patience=patience)
        self._name, self._price = name, price
        self._modes = {
            mode: Mode(tokenizer, rules, thinking=mode, history=history, kept_tokens=kept_tokens)
            for mode in (True, False)
        }
        self._asked: OrderedDict[bytes, int] = OrderedDict()

    @property
    def name(self) -> str:
        """See `ChatModel.name`."""
        return self._name

    @property
    def forks(self) -> int:
        """Prompts that did not continue the turn before them token for token."""
        return sum(count for what, count in self.counts.items() if what.startswith("forked"))

    def cost(self, usage: Usage) -> float:
        """See `ChatModel.cost`."""
        return self._price(usage)

    def sampled(self, message: Message) -> Sampled | None:
        """How a message (this very object) was sampled; None when that is unknown or forgotten."""
        turn = self._modes[True].turn(message) or self._modes[False].turn(message)
        return turn and turn.sampled

    async def complete(
        self,
        messages: Sequence[Message],
        tools: Sequence[Tool] = (),
        *,
        sampling: Sampling = DEFAULT_SAMPLING,
        priority: int = 0,
        on_text: Callable[[str], None] | None = None,
        gate: Gate | None = None,
    ) -> Reply:
        """One assistant message; see `ChatModel.complete`. `Reply.sampled` has its tokens."""
        mode = self._mode(sampling)
        prompt, media = await mode.prompt(messages, tools)
        request = SampleRequest(prompt.ids, media, self._params(prompt, sampling), priority=priority)
        stream = ContentStream(self.tokenizer, on_text or _unheard, thinking=mode.thinking)
        course = Course()
        whole = await self._persistence.sample(request, stream.add, course, gate=gate)
        stream.close()
        if whole.unfinished:
            raise ModelError(
                f"{self.name}: {course.why}; gave up after {course.attempts} tries",
                kind="endpoint",
                partial=self._read(whole, mode, 0).message.text,
            )
        return self._reply(messages, mode, prompt, request, whole, course)

    def _mode(self, sampling: Sampling) -> Mode:
        thinking = sampling.extra.get("thinking", self.thinking)
        if not isinstance(thinking, bool):
            raise ModelError(f"thinking is True or False, got {thinking!r}", kind="request")
        if thinking and self.tokenizer.end_think in self.never:
            raise ModelError(
                "a thought has no end here: `never` holds </think>, so ask with thinking=False", kind="request"
            )
        return self._modes[thinking]

    def _params(self, prompt: Prompt, sampling: Sampling) -> SamplingParams:
        unknown = sorted(set(sampling.extra) - set(SETTINGS))
        if unknown:
            raise ModelError(f"a sampler has no {', '.join(unknown)}; it has {', '.join(SETTINGS)}", kind="request")
        room = self._room(prompt)
        extra: dict[str, Any] = {"seed": self._seed(prompt.chain)} | sampling.extra
        extra.pop("thinking", None)
        try:
            return SamplingParams(
                max_new_tokens=min(sampling.max_tokens or LONGEST_ANSWER, room),
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                stop_ids=frozenset(self.tokenizer.stops),
                never=self.never,
                record_routing=self.record_routing,
                **extra,
            )
        except (ConfigError, TypeError) as error:
            raise ModelError(str(error), kind="request") from None

    def _room(self, prompt: Prompt) -> int:
        """Tokens of the answer, at most."""
        if (room := self.context_tokens - len(prompt.ids)) < 1:
            raise ModelError(
                f"the conversation takes {len(prompt.ids):,} tokens, and {self.context_tokens:,} fit with its answer",
                kind="overflow",
            )
        return room

    def _seed(self, chain: bytes) -> int:
        """Of this answer: the same in another run, another one for each answer of the same conversation."""
        times = self._asked.pop(chain, 0)
        self._asked[chain] = times + 1
        if len(self._asked) > ASKED:
            self._asked.popitem(last=False)
        return seeds.key(self.seed, "agent/token_chat", int.from_bytes(chain, "little"), times) & 0x7FFF_FFFF

    def _read(self, whole: Completion, mode: Mode, calls_before: int) -> Read:
        cut = whole.stop == "length" or whole.unfinished
        return read(whole.ids, self.tokenizer, thinking=mode.thinking, cut=cut, calls_before=calls_before)

    def _reply(
        self,
        messages: Sequence[Message],
        mode: Mode,
        prompt: Prompt,
        request: SampleRequest,
        whole: Completion,
        course: Course,
    ) -> Reply:
        said = self._read(whole, mode, sum(len(message.tool_calls) for message in messages))
        sampled = _sampled(prompt, request, whole, said.malformed)
        mode.turns.keep(Turn(said.message, sampled, mode.chain(prompt, said.message)))
        self._count(prompt, said)
        usage = Usage(len(prompt.ids), len(whole.ids), whole.usage.cached)
        return Reply(
            said.message,
            said.stop,
            replace(usage, cost=self.cost(usage)),
            waited=course.waited,
            first=whole.first_seconds,
            seconds=whole.seconds,
            attempts=course.attempts,
            paused=course.paused,
            sampled=sampled,
        )

    def _count(self, prompt: Prompt, said: Read) -> None:
        continues = "appended" if prompt.parent is not None else "fresh"
        self.counts[f"forked: {prompt.fork}" if prompt.fork else continues] += 1
        self.counts["malformed"] += bool(said.malformed)
        self.counts["cut"] += said.stop == "length"


def _sampled(prompt: Prompt, request: SampleRequest, whole: Completion, malformed: str) -> Sampled:
    parent = prompt.parent.sampled if prompt.parent is not None else None
    seen = len(parent.all_media) if parent is not None else 0
    return Sampled(
        prompt.added,
        np.array(whole.ids, np.int32),
        np.array(whole.logprobs, np.float32),
        np.array(whole.versions, np.int32),
        whole.logprob_kind,
        request.media[seen:],
        parent,
        prompt.fork,
        malformed,
        None if whole.routing is None else whole.routing[-(len(prompt.added) + len(whole.ids)) :],
        request.params.draw,
    )


def _media_marks(tokenizer: Tokenizer) -> frozenset[int]:
    return frozenset({tokenizer.media_begin, tokenizer.media_content, tokenizer.media_pad, tokenizer.media_end})


def _unheard(text: str) -> None:
    """Nobody listens."""
