"""The scheduler alone, with a model that says a number: nothing leaks, nobody starves, everything ends once."""

import random
import statistics
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manyeyes.core.sampler import SampleRequest, SamplingParams
from manyeyes.inference.blocks import BlockPool
from manyeyes.inference.prefix_cache import block_key, root_key
from manyeyes.inference.scheduler import Chunk, Limits, Scheduler
from manyeyes.inference.sequences import Sequence, Status


@dataclass
class FakeEngine:
    """Schedules and counts; every token costs nothing."""

    limits: Limits
    blocks: int
    sequences: dict[int, Sequence] = field(default_factory=dict)
    ended: dict[int, str] = field(default_factory=dict)
    started: dict[int, int] = field(default_factory=dict)
    steps: int = 0

    def __post_init__(self) -> None:
        self.scheduler = Scheduler(self.limits, BlockPool(self.blocks))

    def add(self, ids: list[int], new: int, *, priority: int = 0, count: int = 1) -> list[int]:
        request = SampleRequest(np.array(ids, np.int32), params=SamplingParams(max_new_tokens=new), priority=priority)
        first = len(self.sequences)
        made = [Sequence(first + i, request, 0, 0, len(ids) + new, 0.0) for i in range(count)]
        for follower in made[1:]:
            follower.status = Status.HELD
        made[0].followers = made[1:]
        self.sequences.update((one.number, one) for one in made)
        self.scheduler.add(made[0])
        return [one.number for one in made]

    def cancel(self, number: int) -> None:
        if number not in self.ended:
            self._end(self.sequences[number], "cancelled")

    def step(self) -> None:
        self.steps += 1
        plan = self.scheduler.plan()
        assert plan.chunks or not self.scheduler.busy, "nothing moves"
        self._check(plan)
        for chunk in plan.chunks:
            self.scheduler.advance(chunk)
        for chunk in plan.chunks:
            if chunk.samples:
                for one in [chunk.sequence, *self.scheduler.fork(chunk.sequence)]:
                    self.started.setdefault(one.number, self.steps)
                    if (why := one.say(len(one.ids) % 5, -1.0, 0, 0.0)) is not None:
                        self._end(one, why)

    def _check(self, plan) -> None:
        size, pool = self.limits.block_tokens, self.scheduler.pool
        assert sum(chunk.count for chunk in plan.chunks) <= self.limits.step_tokens
        assert len(self.scheduler.running) <= self.limits.max_rows
        assert len({chunk.sequence.number for chunk in plan.chunks}) == len(plan.chunks)
        for chunk in plan.chunks:
            one = chunk.sequence
            assert one.status is Status.RUNNING and chunk.start == one.computed and chunk.count >= 1
            assert len(set(one.blocks)) == len(one.blocks) >= -(-chunk.stop // size)
            written = one.blocks[chunk.start // size : -(-chunk.stop // size)]
            assert not any(pool.shared(block) for block in written), "a shared block is written"
        read = [key for chunk in plan.chunks if chunk.count > 1 for key in self._read(chunk)]
        assert len(set(read)) == len(read), "a block of two prompts is read twice"
        holders = [block for one in self.scheduler.running for block in one.blocks]
        assert len(set(holders)) == pool.held and pool.available + pool.held == pool.count

    def _read(self, chunk: Chunk) -> list[bytes]:
        """Keys of the blocks that a chunk fills; none of the last token's, which is always computed."""
        ids, size, keys = chunk.sequence.ids, self.limits.block_tokens, [root_key(self.scheduler.version)]
        if not self.limits.prefix_cache:
            return []
        for at in range(0, min(chunk.stop, len(ids) - 1) // size * size, size):
            keys.append(block_key(keys[-1], ids[at : at + size], at, ()))
        return keys[1 + chunk.start // size :]

    def _end(self, sequence: Sequence, why: str) -> None:
        assert sequence.number not in self.ended
        self.ended[sequence.number] = why
        self.scheduler.remove(sequence)

    def run(self) -> None:
        while self.scheduler.busy:
            self.step()
        assert self.scheduler.pool.held == 0 and self.ended.keys() == self.sequences.keys()


LIMITS = st.builds(
    Limits, st.sampled_from([1, 2, 4, 16]), st.integers(1, 9), st.integers(9, 40), st.integers(1, 50), st.booleans()
)
REQUEST = st.tuples(
    st.lists(st.integers(0, 1), min_size=1, max_size=40), st.integers(1, 20), st.integers(-2, 2), st.integers(1, 4)
)


@settings(max_examples=150)
@given(LIMITS, st.integers(0, 30), st.lists(st.tuples(REQUEST, st.integers(0, 4)), max_size=14), st.randoms())
def test_every_request_ends_once_and_no_block_leaks(limits: Limits, extra: int, requests, chance) -> None:
    """In groups, with priorities, sharing prefixes, cancelled at any time, in a pool just large enough."""
    engine = FakeEngine(limits, -(-60 // limits.block_tokens) + extra)
    for (ids, new, priority, count), steps in requests:
        engine.add(ids, new, priority=priority, count=count)
        for _ in range(steps):
            engine.step()
        if chance.random() < 0.3:
            engine.cancel(chance.choice(list(engine.sequences)))
        if chance.random() < 0.1:
            engine.scheduler.renew(engine.scheduler.version + 1)
    engine.run()
    assert all(why in ("length", "cancelled") for why in engine.ended.values())


def test_ten_thousand_in_the_queue_with_random_cancels() -> None:
    draw = random.Random(0)
    engine = FakeEngine(Limits(16, 64, 256, 256, True), blocks=400)
    for _ in range(10_000):
        engine.add([draw.randrange(2000) for _ in range(draw.randrange(1, 60))], draw.randrange(1, 30))
    added = dict.fromkeys(engine.sequences, 0)
    while engine.scheduler.busy:
        for _ in range(3):
            number = draw.randrange(10_000)
            if number not in engine.ended:
                engine.cancel(number)
        engine.step()
    engine.run()
    waits = [engine.started[n] - added[n] for n, why in engine.ended.items() if why == "length"]
    assert len(waits) > 3000 and max(waits) / statistics.median(waits) <= 20
    assert sum(len(heap) for heap in engine.scheduler.line._classes.values()) == 0


def test_who_leaves_the_queue_takes_no_room_in_it() -> None:
    engine = FakeEngine(Limits(16, 1, 16, 256, True), blocks=4)
    for _ in range(20):
        numbers = [engine.add([1], 1)[0] for _ in range(500)]
        for number in numbers:
            engine.cancel(number)
    assert sum(len(heap) for heap in engine.scheduler.line._classes.values()) <= 200
    assert engine.scheduler.waiting == 0 and not engine.scheduler.busy


def test_under_steady_load_waiting_is_fair() -> None:
    """One new request each step, of any length: max wait / median <= 20, in steps from arrival to the first token."""
    draw, engine, added = random.Random(1), FakeEngine(Limits(16, 32, 64, 256, True), blocks=120), {}
    for _ in range(2000):
        (number,) = engine.add([draw.randrange(2000) for _ in range(draw.randrange(1, 200))], draw.randrange(1, 30))
        added[number] = engine.steps
        engine.step()
        engine.step()
    engine.run()
    waits = [engine.started[n] - at for n, at in added.items()]
    assert max(waits) / max(1, statistics.median(waits)) <= 20


def test_better_priority_goes_first_and_worse_does_not_starve() -> None:
    engine = FakeEngine(Limits(16, 1, 16, patience=10, prefix_cache=False), blocks=8)
    first = engine.add([1] * 5, 3)[0]
    low, high = engine.add([2] * 5, 3, priority=5)[0], engine.add([3] * 5, 3, priority=-5)[0]
    for _ in range(200):  # always somebody better
        engine.add([4] * 5, 1, priority=0)
        engine.step()
    assert engine.started[high] < engine.started[first] < engine.started[low] < 150


def test_the_best_rank_is_never_preempted() -> None:
    engine = FakeEngine(Limits(4, 8, 32, 256, False), blocks=12)
    numbers = [engine.add([n] * 8, 30)[0] for n in range(4)]
    engine.run()
    assert engine.scheduler.preemptions > 0
    assert list(engine.ended) == numbers  # equal lengths end in order of arrival


def test_a_prompt_in_chunks_does_not_stop_those_who_decode() -> None:
    engine = FakeEngine(Limits(16, 8, 16, 256, True), blocks=64)
    (short,) = engine.add([1], 30)
    engine.step()
    engine.add(list(range(200)), 5)
    said = len(engine.sequences[short].ids)
    for step in range(1, 10):
        engine.step()
        assert len(engine.sequences[short].ids) == said + step


def test_kept_blocks_go_oldest_first_and_only_when_room_is_needed() -> None:
    pool = BlockPool(3)
    blocks = [pool.take() for _ in range(3)]
    for block, key in zip(blocks, (b"a", b"b", b"c"), strict=True):
        pool.name(block, key)
        pool.release(block)
    assert (pool.available, pool.kept, pool.held) == (3, 3, 0)
    assert pool.find(b"a") == blocks[0]
    assert pool.take() == blocks[1] and pool.find(b"b") is None and pool.find(b"c") == blocks[2]
    with pytest.raises(KeyError):
        pool.take()
    pool.forget()
    assert pool.find(b"a") is None and pool.kept == 0


def test_keys_tell_apart_versions_places_and_histories() -> None:
    ids = [1, 2, 3]
    keys = {
        block_key(root_key(0), ids, 0, ()), block_key(root_key(1), ids, 0, ()),
        block_key(block_key(root_key(0), ids, 0, ()), ids, 3, ()), block_key(root_key(0), [1, 2, 4], 0, ()),
    }  # fmt: skip
    assert len(keys) == 4


def computed_by(engine: FakeEngine, steps: int = 10_000) -> int:
    """Tokens of prompts and answers that steps compute until nothing is left."""
    total, plan = [0], engine.scheduler.plan

    def counting():
        found = plan()
        total[0] += sum(chunk.count for chunk in found.chunks)
        return found

    engine.scheduler.plan = counting
    while engine.scheduler.busy and steps > 0:
        engine.step()
        steps -= 1
    return total[0]


@pytest.mark.parametrize("step_tokens", [300, 40, 16])
def test_prompts_that_begin_alike_are_read_once_though_they_come_together(step_tokens: int) -> None:
    """Eight at once: 96 tokens that they share, 5 of each one's own, and 2 that are said of which one is read."""
    engine = FakeEngine(Limits(16, 8, step_tokens, 256, True), blocks=80)
    for number in range(8):
        engine.add([*range(96), *[100 + number] * 5], 2)
    assert computed_by(engine) == 96 + 8 * (5 + 1)


def test_each_waits_for_as_much_as_it_shares() -> None:
    """Three levels: all share 32 tokens, half of them 64; they wait for their own level and not for the longest."""
    engine = FakeEngine(Limits(16, 16, 400, 256, True), blocks=80)
    for number in range(6):
        engine.add([*range(32), *[50 + number % 2] * 32, *[100 + number] * 16], 1)
    assert computed_by(engine) == 32 + 2 * 32 + 6 * 16
    assert max(engine.started.values()) <= 3


def test_a_group_does_not_take_the_row_of_who_waits_for_a_prompt() -> None:
    engine = FakeEngine(Limits(16, 4, 200, 256, True), blocks=80)
    first, twin = (engine.add([*range(33)], 50)[0] for _ in range(2))
    group = engine.add([7] * 5, 50, count=3)
    engine.step()
    engine.step()
    assert [engine.started.get(number) for number in (first, twin, *group)] == [1, 2, 1, 1, None]
    engine.run()
    assert len(engine.ended) == 5


def test_a_group_that_came_before_who_waits_for_a_prompt_has_its_rows() -> None:
    engine = FakeEngine(Limits(16, 3, 200, 256, True), blocks=80)
    group = engine.add([*range(40)], 50, count=3)
    twin = engine.add([*range(40)], 50)[0]
    engine.step()
    assert [engine.started.get(number) for number in (*group, twin)] == [1, 1, 1, None]
    engine.run()
    assert len(engine.ended) == 4


def test_who_waits_for_a_block_that_is_written_word_by_word_finds_it() -> None:
    engine = FakeEngine(Limits(16, 4, 200, 256, True), blocks=80)
    writer = engine.add([*range(15)], 20)[0]
    engine.step()  # its 16th token is sampled, and computed in the next step
    twin = engine.add([*engine.sequences[writer].ids, 9, 9], 1)[0]
    engine.step()
    assert twin not in engine.started
    engine.step()
    assert engine.started[twin] == 3 and engine.sequences[twin].found == 16


def test_who_comes_while_a_prompt_is_read_starts_when_it_is_read() -> None:
    """And one with another prompt starts beside its reader, where rows are left."""
    engine = FakeEngine(Limits(16, 8, 200, 256, True), blocks=80)
    alike = [engine.add([*range(96), number], 2)[0] for number in range(4)]
    other = engine.add([7] * 40, 2)[0]
    engine.step()
    assert [engine.started.get(number) for number in (*alike, other)] == [1, None, None, None, 1]
    assert engine.scheduler.waiting == 3
    engine.cancel(alike[2])
    engine.step()
    assert [engine.started.get(number) for number in alike] == [1, 2, None, 2]
    engine.run()


def test_who_waits_for_a_prompt_is_not_overtaken_by_a_long_one() -> None:
    """Which would go on with all tokens of the steps that follow."""
    engine = FakeEngine(Limits(16, 8, 64, 256, True), blocks=100)
    first, alike = engine.add([1] * 33, 2)[0], engine.add([1] * 33, 2)[0]
    long = engine.add(list(range(1000)), 2)[0]
    short = engine.add([7] * 5, 2)[0]
    engine.step()
    engine.step()
    assert [engine.started.get(number) for number in (first, alike, long, short)] == [1, 2, None, 1]
    engine.run()


def test_who_waits_for_a_prompt_finds_blocks_for_its_own() -> None:
    engine = FakeEngine(Limits(16, 8, 200, 256, True), blocks=12)
    alike = [engine.add([*range(32), *[number] * 40], 2)[0] for number in (50, 51)]
    other = engine.add([7] * 60, 30)[0]
    engine.step()
    engine.step()
    assert [engine.started.get(number) for number in (*alike, other)] == [1, 2, None]
    engine.run()


def test_a_reader_whose_step_fails_is_waited_for_no_more() -> None:
    engine = FakeEngine(Limits(16, 8, 200, 256, True), blocks=80)
    numbers = [engine.add([*range(96), number], 2)[0] for number in range(3)]
    engine.scheduler.plan()  # and nothing is computed
    engine.scheduler.renew(0)
    engine.cancel(numbers[0])
    assert engine.scheduler.waiting == 2
    engine.run()
    assert [engine.ended[number] for number in numbers] == ["cancelled", "length", "length"]


def test_without_a_prefix_cache_nobody_waits() -> None:
    engine = FakeEngine(Limits(16, 8, 800, 256, False), blocks=80)
    for number in range(4):
        engine.add([*range(96), number], 2)
    engine.step()
    assert len(engine.started) == 4
