"""N counts each generated token once, masked or not."""

import numpy as np
import pytest

from manyeyes.core.errors import ConfigError
from manyeyes.core.sample import Sample
from manyeyes.core.trajectory import AgentSpan, Node, Trajectory
from manyeyes.data.packing import pack, stack
from manyeyes.data.shared_beginnings import pack_shared
from manyeyes.rl.generated_tokens import generated
from manyeyes.rl.token_count import TokenCount, group_of, token_weight


def node(given: int, sampled: int, *, agent: int = 0, parent: int = -1, masked: str = "") -> Node:
    ids = np.arange(1, given + sampled + 1, dtype=np.int32)
    logprobs, versions = np.full(sampled, -1, np.float32), np.zeros(sampled, np.int32)
    return Node(ids, given, logprobs, versions, parent=parent, agent=agent, masked=masked)


def test_generated_tokens_are_those_of_live_agents_each_once() -> None:
    one = Trajectory("t/0/0", "t", agents=[AgentSpan(), AgentSpan("main/0", parent=0, policy="frozen")])
    root = one.add(node(5, 3))
    one.add(node(2, 4, parent=root))
    one.add(node(2, 1, parent=root, masked="a hole"))  # a second branch shares the root
    one.add(node(7, 20, agent=1))
    assert generated(one) == 3 + 4 + 1
    one.masked = "dead sandbox"
    assert generated(one) == 8
    one.masked = ""
    counted = TokenCount.of(stack([pack(one.to_samples(1.0), 60, pad_id=0)]))
    assert (counted.tokens, counted.sequences, counted.groups) == (7, 1, 1)


def test_counts_of_parts_add_up_to_the_whole() -> None:
    samples = [
        Sample(np.arange(n + 2, dtype=np.int32), (np.arange(n + 2) > 1).astype(np.float32), name=f"t/{n % 3}/{n}#0")
        for n in range(6)
    ]
    whole = TokenCount.of(stack([pack(samples, 60, pad_id=0)]))
    assert (whole.tokens, whole.sequences, whole.groups, whole.positions) == (15, 5, 3, 27)
    by_group = [TokenCount.of(stack([pack(samples[n::3], 60, pad_id=0)])) for n in range(3)]
    assert by_group[0] + by_group[1] + by_group[2] == whole
    assert TokenCount.of(stack([pack([], 9, pad_id=0)])) == TokenCount()


def test_groups_that_tell_one_attempt_from_another_are_counted() -> None:
    """By their advantages; and a beginning that is computed once counts with each attempt."""
    prompt = np.arange(30, dtype=np.int32)
    made = [
        Sample(
            np.append(prompt, n).astype(np.int32), (np.arange(31) == 30).astype(np.float32), name=f"t/{group}/{n}#0",
            advantages=np.full(31, advantage, np.float32),
        )
        for group, worth in enumerate([(1.0, -1.0), (0.0, 0.0)]) for n, advantage in enumerate(worth)
    ]  # fmt: skip
    found = TokenCount.of(stack(pack_shared([made[:2], made[2:]], 40, pad_id=0)))
    assert (found.told, found.groups, found.tokens, found.positions) == (1, 2, 4, 4 * 31)
    assert (found + found).told == 2


def test_what_the_sums_are_divided_by() -> None:
    assert TokenCount(tokens=7).whole == 7 and TokenCount().whole == 1
    assert TokenCount(tokens=7, groups=2, per="groups").whole == 2
    assert token_weight("tokens", 9) == 1.0 and token_weight("groups", 4) == 0.25
    with pytest.raises(ConfigError, match="cannot be added"):
        TokenCount() + TokenCount(per="groups")


def test_groups_are_known_by_the_names_of_samples() -> None:
    assert group_of("web/maze#3/17/2#5") == "web/maze#3/17"
