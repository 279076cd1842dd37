"""The scheduler: a state machine over sequences and block numbers that says what each step computes.

    1. decode    every running sequence that has one token to compute, best rank first; where blocks run out the
                 running sequence of the worst rank is preempted: its blocks go, its ids wait for another turn
    2. prefill   prompts that are partly read go on, in chunks, with what is left of the step's tokens
    3. admit     waiting ones start while rows, tokens and blocks last, with the part of their prompt that is kept; one
                 whose next block another one reads in this very step waits until it is read, and finds it. Nobody who
                 is admitted behind it takes what it needs then: a row, a step's tokens, or blocks

Rank is (priority, arrival). Whoever waits `patience` steps is admitted one priority better, and keeps that rank, so
nobody starves; the best rank is never preempted, so something always ends.

Report: App. D; chunked prefill: Agrawal et al., 2023; preemption by recomputation: Kwon et al., 2023.
"""

from collections.abc import Sequence as Listed
from typing import NamedTuple

from manyeyes.inference.blocks import BlockPool
from manyeyes.inference.prefix_cache import block_key, root_key
from manyeyes.inference.sequences import Sequence, Status
from manyeyes.inference.waiting import WaitingLine


class Chunk(NamedTuple):
    """Tokens start..start+count of a sequence, to be computed in this step."""

    sequence: Sequence
    start: int
    count: int

    @property
    def stop(self) -> int:
        """The position behind its last token."""
        return self.start + self.count

    @property
    def samples(self) -> bool:
        """Whether a token is sampled behind it."""
        return self.stop == len(self.sequence.ids)


class StepPlan(NamedTuple):
    """What one step computes, and the blocks (from, to) that are copied before."""

    chunks: list[Chunk]
    copies: list[tuple[int, int]]


class Limits(NamedTuple):
    """Of a scheduler: see `EngineConfig`."""

    block_tokens: int
    max_rows: int
    step_tokens: int
    patience: int
    prefix_cache: bool


class Scheduler:
    """Decides; computes nothing."""

    def __init__(self, limits: Limits, pool: BlockPool, *, version: int = 0) -> None:
        self.limits, self.pool, self.version = limits, pool, version
        self.running: list[Sequence] = []
        self.line = WaitingLine(limits.patience)
        self.preemptions = 0
        self._clock = 0
        self._copies: list[tuple[int, int]] = []
        self._promised: list[tuple[int, int]] = []

    @property
    def waiting(self) -> int:
        """Sequences in the queue."""
        return len(self.line)

    @property
    def busy(self) -> bool:
        """Whether anything is left to do."""
        return bool(self.running) or bool(len(self.line))

    def add(self, sequence: Sequence) -> None:
        """Queue a sequence."""
        self.line.add(sequence, now=self._clock)

    def remove(self, sequence: Sequence) -> None:
        """Take a sequence out wherever it is, and free its blocks; the first of its followers reads their prompt."""
        if sequence.status is Status.WAITING:
            self.line.remove(sequence)
        elif sequence.status is Status.RUNNING:
            self.running.remove(sequence)
        self._free(sequence)
        sequence.status = Status.DONE
        followers = [one for one in sequence.followers if one.status is Status.HELD]
        sequence.followers = []
        if followers:
            followers[0].followers = followers[1:]
            self.add(followers[0])

    def plan(self) -> StepPlan:
        """The next step."""
        self._clock += 1
        self._copies, self._promised = [], []
        self.running.sort(key=_rank)
        chunks = self._decodes()
        left = self.limits.step_tokens - len(chunks)
        prefills, left, short = self._prefills(left, alone=not chunks)
        chunks += prefills
        if not short:
            chunks += self._admitted(left, chunks)
        return StepPlan(chunks, self._copies)

    def advance(self, chunk: Chunk) -> None:
        """A chunk has been computed: its full blocks can be found by others."""
        sequence = chunk.sequence
        sequence.computed = chunk.stop
        if not self.limits.prefix_cache:
            return
        while (len(sequence.keys) + 1) * self.limits.block_tokens <= sequence.computed:
            at = len(sequence.keys)
            self.pool.name(sequence.blocks[at], self._next_key(sequence))

    def fork(self, leader: Sequence) -> list[Sequence]:
        """The prompt of a group is read: followers that find a row share the leader's blocks and run; others wait.

        Rows that this step keeps for those of better rank who wait for a prompt are not theirs.
        """
        started: list[Sequence] = []
        for follower in leader.followers:
            if follower.status is not Status.HELD:
                continue
            rank = (leader.rank[0], follower.number)
            kept = sum(other < rank for other in self._promised)
            if len(self.running) + kept >= self.limits.max_rows:
                self.add(follower)
                continue
            follower.blocks = list(leader.blocks)
            for block in follower.blocks:
                self.pool.share(block)
            follower.keys, follower.computed, follower.found = list(leader.keys), leader.computed, leader.computed
            follower.status, follower.rank = Status.RUNNING, rank
            self.running.append(follower)
            started.append(follower)
        leader.followers = []
        return started

    def renew(self, version: int) -> None:
        """New weights: nothing that was computed is valid. Running sequences are read again, the queue stays."""
        for sequence in list(self.running):
            self._preempt(sequence)
        self.pool.forget()
        self.version = version

    def _decodes(self) -> list[Chunk]:
        chunks: list[Chunk] = []
        for sequence in list(self.running):
            computed = sequence.computed
            if sequence.status is not Status.RUNNING or len(sequence.ids) - computed != 1:
                continue
            while not self._reserve(sequence, 1):
                victim = self._worst({id(chunk.sequence) for chunk in chunks})
                self._preempt(victim)
                if victim is sequence:
                    break
            if sequence.status is Status.RUNNING:
                chunks.append(Chunk(sequence, computed, 1))
        return chunks

    def _prefills(self, left: int, *, alone: bool) -> tuple[list[Chunk], int, bool]:
        """Chunks of prompts that run, the tokens left, and whether blocks were missing."""
        chunks: list[Chunk] = []
        for sequence in [one for one in self.running if not one.decoding]:
            if left < 1 or sequence.status is not Status.RUNNING:
                continue
            count = self._fitting(sequence, min(left, sequence.remaining))
            while not count and alone and not chunks:
                victim = self._worst(set())
                self._preempt(victim)  # the best rank is first here, so it is never its own victim
                count = self._fitting(sequence, min(left, sequence.remaining))
            if not count:
                return chunks, left, True
            chunks.append(Chunk(sequence, sequence.computed, count))
            left -= count
        return chunks, left, False

    def _admitted(self, left: int, before: Listed[Chunk]) -> list[Chunk]:
        chunks: list[Chunk] = []
        if not self.waiting:
            return chunks
        read_now = {key for chunk in before for key in self._keys_ahead(chunk.sequence, chunk.stop)}
        later: list[Sequence] = []
        beside = 0
        while left > 0 and len(self.running) + len(later) < self.limits.max_rows:
            sequence = self.line.best(now=self._clock)
            if sequence is None or not self._room_for(sequence, beside=beside):
                break
            self.line.take(sequence, now=self._clock)
            self._find_prefix(sequence)
            waits = self._keys_ahead(sequence, len(sequence.ids) - 1, most=1) & read_now
            if waits or (later and sequence.remaining > left):  # who goes on in the next step would go before `later`
                self._free(sequence)
                later.append(sequence)
                beside += self._blocks(len(sequence.ids))
                continue
            if sequence.found is None:  # later it finds what it has read itself
                sequence.found = min(sequence.computed, sequence.prompt)
            sequence.status = Status.RUNNING
            self.running.append(sequence)
            count = self._fitting(sequence, min(left, sequence.remaining))
            if not count:
                break
            chunks.append(Chunk(sequence, sequence.computed, count))
            read_now |= self._keys_ahead(sequence, sequence.computed + count)
            left -= count
        for sequence in later:
            self.add(sequence)
        self._promised = [one.rank for one in later]
        return chunks

    def _room_for(self, sequence: Sequence, *, beside: int) -> bool:
        """Whether its ids fit, and the next block of half of those that run: fewer would preempt each other.

        Args:
            beside: blocks that others will need who come before it.
        """
        wanted = self._blocks(len(sequence.ids)) + len(self.running) // 2 + beside
        return not self.running or wanted < self.pool.available

    def _find_prefix(self, sequence: Sequence) -> None:
        """Share the kept blocks that its ids begin with; its last token is always computed."""
        if not self.limits.prefix_cache:
            return
        for _ in range((len(sequence.ids) - 1) // self.limits.block_tokens):
            key = self._next_key(sequence)
            block = self.pool.find(key)
            if block is None:
                sequence.keys.pop()
                break
            sequence.blocks.append(block)
        sequence.computed = len(sequence.blocks) * self.limits.block_tokens

    def _keys_ahead(self, sequence: Sequence, stop: int, *, most: int | None = None) -> set[bytes]:
        """Keys of its next blocks, of those that are full once it has computed up to `stop`.

        Args:
            most: of the first so many.
        """
        if not self.limits.prefix_cache:
            return set()
        known, full = len(sequence.keys), stop // self.limits.block_tokens
        keys = {self._next_key(sequence) for _ in range(known, full if most is None else min(full, known + most))}
        del sequence.keys[known:]  # they are its own once they are computed (`advance`)
        return keys

    def _next_key(self, sequence: Sequence) -> bytes:
        size, at = self.limits.block_tokens, len(sequence.keys)
        parent = sequence.keys[-1] if at else root_key(self.version)
        sequence.keys.append(
            block_key(parent, sequence.ids[at * size : (at + 1) * size], start=at * size, spans=sequence.spans)
        )
        return sequence.keys[-1]

    def _fitting(self, sequence: Sequence, count: int) -> int:
        """How many of `count` tokens find room in blocks, which are taken."""
        size = self.limits.block_tokens
        spare = len(sequence.blocks) * size - sequence.computed
        count = min(count, spare + self.pool.available * size)
        return count if count > 0 and self._reserve(sequence, count) else 0

    def _reserve(self, sequence: Sequence, count: int) -> bool:
        """Take the blocks that the next `count` tokens need, and a copy of a shared one; False where they lack."""
        size = self.limits.block_tokens
        at = sequence.computed // size
        copy = at < len(sequence.blocks) and self.pool.shared(sequence.blocks[at])
        wanted = self._blocks(sequence.computed + count) - len(sequence.blocks)
        if not copy and wanted <= 0:
            return True
        if wanted + copy > self.pool.available:
            return False
        if copy:
            shared, sequence.blocks[at] = sequence.blocks[at], self.pool.take()
            self._copies.append((shared, sequence.blocks[at]))
            self.pool.release(shared)
        sequence.blocks.extend(self.pool.take() for _ in range(wanted))
        return True

    def _blocks(self, tokens: int) -> int:
        return -(-tokens // self.limits.block_tokens)

    def _worst(self, but: set[int]) -> Sequence:
        return next(one for one in reversed(self.running) if id(one) not in but)

    def _preempt(self, sequence: Sequence) -> None:
        self.running.remove(sequence)
        self._free(sequence)
        self.preemptions += 1
        self.line.add(sequence, now=self._clock)

    def _free(self, sequence: Sequence) -> None:
        """Give its blocks back, the last ones first, so that the longest prefixes go first where room is needed."""
        for block in reversed(sequence.blocks):
            self.pool.release(block)
        sequence.blocks, sequence.keys, sequence.computed = [], [], 0


def _rank(sequence: Sequence) -> tuple[int, int]:
    return sequence.rank
