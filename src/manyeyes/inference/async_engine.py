"""`AsyncEngine`: the engine behind the protocol `PolicySampler`, with one thread that steps.

    event loop                                   worker thread
    sample ──command: add──▶ ┌────────────┐
    publish, pause ────────▶ │  commands  │ ──▶ run them all, then one step, then the next commands
    futures, on_token ◀───── └────────────┘     ◀── tokens and endings of a step, in one call to the loop

Commands run between two steps, so weights never change under a step, and a cancelled request frees its blocks before
the next one. The thread alone touches the engine. It starts with the first command, and ends with `close`.

What fails, and whom: a command fails its caller; a constraint that raises fails the completion that it belongs to; an
error in the arithmetic of a step is everybody's who was in it, as nothing tells whose it was. The thread outlives all
of them, and no block stays held.

Report: App. D.
"""

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, TypeVar

import torch

from manyeyes.core.sampler import Completion, OnToken, Overloaded, RequestError, SampleRequest, SamplerError
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.inference.calls import Call, News, fail, hear, resolve, to_loop
from manyeyes.inference.engine import Engine, Figures, StepResult
from manyeyes.inference.engine_config import EngineConfig
from manyeyes.model.multimodal import K25

T = TypeVar("T")
LOG = logging.getLogger("manyeyes.engine")


class AsyncEngine:
    """Samples for many callers at once; use it as an async context manager, or `close` it.

    Args:
        model: its parameters are overwritten by `publish`.
        tokenizer: needed for stop texts only.
        config: sizes.
        version: of the weights that the model has now.
    """

    def __init__(
        self, model: K25, tokenizer: Tokenizer | None = None, config: EngineConfig | None = None, *, version: int = 0
    ) -> None:
        self._engine = Engine(model, config, tokenizer=tokenizer, version=version)
        self._commands: deque[Callable[[], None]] = deque()
        self._wake, self._counted = threading.Condition(), threading.Event()
        self._thread: threading.Thread | None = None
        self._paused = self._closed = False
        self._live, self._threads = 0, self._engine.config.threads or torch.get_num_threads()
        self._call_of: dict[int, Call] = {}

    async def __aenter__(self) -> "AsyncEngine":
        return self

    async def __aexit__(self, *why: object) -> None:
        await self.close()

    @property
    def version(self) -> int:
        """Of the weights that sample now."""
        return self._engine.version

    @property
    def context(self) -> int:
        """Most tokens of one request, prompt included."""
        return self._engine.context

    @property
    def figures(self) -> Figures:
        """How full it is; numbers of a moment."""
        return self._engine.figures

    @property
    def described(self) -> str:
        """What computes, for people."""
        return self._engine.described

    @property
    def live(self) -> int:
        """Completions that are wanted and have not ended."""
        return self._live

    @property
    def paused(self) -> bool:
        """Whether it waits for `resume`."""
        return self._paused

    async def sample(self, request: SampleRequest, *, on_token: OnToken | None = None) -> Completion:
        """Continue a request to its end. Cancelling the call frees its place before the next step.

        Raises:
            RequestError: it can never be served.
            Overloaded: the queue is full.
            SamplerError: the engine is closed, or a step failed.
        """
        return (await self._sampled(request, 1, on_token))[0]

    async def sample_many(self, request: SampleRequest, count: int) -> list[Completion]:
        """Several completions of one prompt, which is read once; draw i has seed + i."""
        return await self._sampled(request, count, None)

    async def abort(self, request: SampleRequest) -> bool:
        """End a request with what it has: its call returns, with stop "aborted". False when it is not under way.

        Args:
            request: the very object that `sample` or `sample_many` was called with.
        """

        def end() -> bool:
            numbers = [number for number, call in self._call_of.items() if call.request is request]
            ended = [(number, self._engine.abort(number)) for number in numbers]
            self._tell(StepResult([], [(number, done) for number, done in ended if done is not None], []))
            return bool(numbers)

        return await self._ask(end)

    async def pause(self, *, hand_back: bool = False) -> None:
        """Sample nothing until `resume`; with `hand_back`, end all requests with what they have."""

        def stop() -> None:
            self._paused = True
            if hand_back:
                self._tell(StepResult([], self._engine.hand_back(), []))

        await self._ask(stop)

    async def resume(self) -> None:
        """Go on."""

        def go() -> None:
            self._paused = False

        await self._ask(go)

    async def publish(self, version: int, tensors: Mapping[str, Any], *, hand_back: bool = False) -> None:
        """Swap the weights between two steps; requests under way go on with the new ones, or are handed back.

        Raises:
            ConfigError: see `Engine.publish`; nothing has changed.
        """

        def swap() -> None:
            self._engine.publish(version, {name: torch.as_tensor(value) for name, value in tensors.items()})
            if hand_back:
                self._tell(StepResult([], self._engine.hand_back(), []))

        await self._ask(swap)

    async def close(self) -> None:
        """End the thread; who still waits gets a SamplerError."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    async def _sampled(self, request: SampleRequest, count: int, on_token: OnToken | None) -> list[Completion]:
        self._require_room(count)
        loop = asyncio.get_running_loop()
        call = Call(request, loop, loop.create_future(), on_token)
        add, added = self._command(lambda: self._add(call, count))
        self._live += count
        try:
            self._post(add)
            await added
            return await call.future
        except BaseException:
            self._leave(add, call)
            raise
        finally:
            self._live -= count

    def _leave(self, add: Callable[[], None], call: Call) -> None:
        """A call is over before its completions are: it takes back what was not read, or what was added."""
        with self._wake:
            if add in self._commands:  # else who comes and goes while a step lasts would leave two commands each
                self._commands.remove(add)
                return
        with suppress(SamplerError):  # a closed engine holds nothing
            self._post(lambda: self._drop(call))

    def _require_room(self, count: int) -> None:
        config = self._engine.config
        most = config.max_rows + config.max_queue
        if not 1 <= count <= most:
            raise RequestError(f"a request may ask for 1 to {most:,} completions, this one asks for {count:,}")
        if self._live + count > most:
            raise Overloaded(f"{self._live:,} completions run or wait, {most:,} is the most; come again later")

    async def _ask(self, command: Callable[[], T]) -> T:
        """Run a command in the thread, between two steps, and wait for what it returns or raises."""
        run, answered = self._command(command)
        self._post(run)
        return await answered

    def _command(self, command: Callable[[], T]) -> tuple[Callable[[], None], "asyncio.Future[T]"]:
        """What the thread is to run, and who hears what it returns or raises."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def run() -> None:
            try:
                value = command()
            except Exception as error:
                to_loop(loop, fail, future, error)
            except BaseException as error:  # a panic of a library in Rust: the thread must live on
                to_loop(loop, fail, future, _failure("a command", error))
            else:
                to_loop(loop, resolve, future, value)

        return run, future

    def _post(self, command: Callable[[], None]) -> None:
        with self._wake:
            if self._closed:
                raise SamplerError("the engine is closed")
            self._commands.append(command)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="manyeyes-engine", daemon=True)
                self._start(self._thread)
            self._wake.notify()

    def _start(self, thread: threading.Thread) -> None:
        """torch counts its threads for each thread that asks; the default for those that begin later is put back."""
        threads = torch.get_num_threads()
        thread.start()
        self._counted.wait()
        torch.set_num_threads(threads)

    # In the thread.

    def _work(self) -> None:
        torch.get_num_threads()  # a thread that has never asked takes over what others set, the next time it computes
        torch.set_num_threads(self._threads)
        self._counted.set()
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._closed or self._commands or self._steps_now)
                commands, closed = list(self._commands), self._closed
                self._commands.clear()
            for command in commands:
                self._guarded(command)
            if closed:
                self._fail_all(SamplerError("the engine was closed before this request ended"))
                return
            if self._steps_now:
                self._step()

    def _guarded(self, command: Callable[[], None]) -> None:
        """Nobody waits for what leaves a call behind: its errors are told to the log, and the thread lives on."""
        try:
            command()
        except BaseException as error:
            LOG.error("a command that nobody waits for failed: %s", type(error).__name__)

    @property
    def _steps_now(self) -> bool:
        return self._engine.busy and not self._paused

    def _step(self) -> None:
        try:
            self._tell(self._engine.step())
        except BaseException as error:  # the boundary: whoever waits must hear of it, and the thread must live on
            failure = _failure("a step", error)
            self._guarded(lambda: self._fail_all(failure))

    def _add(self, call: Call, count: int) -> None:
        call.numbers = self._engine.add(call.request, count=count)
        self._call_of.update((number, call) for number in call.numbers)

    def _drop(self, call: Call) -> None:
        for number in call.numbers:
            self._call_of.pop(number, None)
            self._engine.abort(number)

    def _tell(self, result: StepResult) -> None:
        """Tokens and endings of a step to those who wait, in one call for each event loop."""
        for number, error in result.failed:
            if (call := self._call_of.get(number)) is not None:
                self._drop(call)
                to_loop(call.loop, fail, call.future, error)
        news: dict[int, News] = {}
        for told in result.tokens:
            call = self._call_of.get(told.number)
            if call is not None and call.on_token is not None:
                news.setdefault(id(call), News(call)).tokens.append(told)
        for number, completion in result.ended:
            call = self._call_of.pop(number, None)
            if call is None:  # another completion of its call has failed
                continue
            call.ended[number] = completion
            if len(call.ended) == len(call.numbers):
                news.setdefault(id(call), News(call)).done = True
        by_loop: dict[asyncio.AbstractEventLoop, list[News]] = {}
        for item in news.values():
            by_loop.setdefault(item.call.loop, []).append(item)
        for loop, items in by_loop.items():
            if not to_loop(loop, hear, items):
                for item in items:
                    self._drop(item.call)

    def _fail_all(self, error: SamplerError) -> None:
        calls = {id(call): call for call in self._call_of.values()}
        for call in calls.values():
            self._drop(call)
            to_loop(call.loop, fail, call.future, error)


def _failure(what: str, error: BaseException) -> SamplerError:
    failure = SamplerError(f"{what} of the engine failed: {error or type(error).__name__}")
    failure.__cause__ = error
    return failure
