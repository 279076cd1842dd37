import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyeyes.core.trajectory import NOBODY, UNROUTED, AgentSpan, Node, Trajectory, TrajectoryError


def node(given_ids: list[int], sampled: list[int], **more) -> Node:
    ids = np.array([*given_ids, *sampled], np.int32)
    logprobs = -np.arange(1, len(sampled) + 1, dtype=np.float32) / 8
    return Node(ids, len(given_ids), logprobs, np.full(len(sampled), 3, np.int32), **more)


turns = st.lists(
    st.tuples(
        st.integers(NOBODY, 5), st.lists(st.integers(0, 99), min_size=1, max_size=4),
        st.lists(st.integers(0, 99), max_size=4), st.integers(0, 2), st.booleans(),
    ),
    min_size=1, max_size=12,
)  # fmt: skip


def grown(drawn) -> Trajectory:
    whole = Trajectory("t/0/0", "t", agents=[AgentSpan(), AgentSpan("main/0"), AgentSpan("main/1", policy="frozen")])
    for parent, before, sampled, agent, hole in drawn:
        parent = min(parent, len(whole.nodes) - 1)
        whole.add(node(before, sampled, parent=parent, agent=agent, masked="a hole" if hole else ""))
    return whole


@given(turns)
def test_every_trainable_sampled_token_is_trained_exactly_once_and_no_other(drawn) -> None:
    whole = grown(drawn)
    trained = {number: 0 for number in range(len(whole.nodes))}
    for sample in whole.to_samples(1.0):
        path = whole.path(int(sample.name.partition("#")[2]))
        assert not sample.weights[~path.sampled].any() and np.array_equal(sample.ids, path.ids)
        for number in set(path.nodes[sample.weights > 0].tolist()):
            trained[number] += int((sample.weights[path.nodes == number] > 0).sum())
    for number, times in trained.items():
        assert times == (len(whole.nodes[number].sampled) if whole.trainable(number) else 0)


@given(turns)
def test_a_path_is_its_nodes_end_to_end(drawn) -> None:
    whole = grown(drawn)
    assert {number for leaf in whole.leaves for number in whole.branch(leaf)} == set(range(len(whole.nodes)))
    for leaf in whole.leaves:
        path = whole.path(leaf)
        stream = [token for number in whole.branch(leaf) for token in whole.nodes[number].ids.tolist()]
        assert path.ids.tolist() == stream and (path.versions[path.sampled] == 3).all()
        assert not path.logprobs[~path.sampled].any() and (path.versions[~path.sampled] == -1).all()


def test_each_agent_has_its_own_advantage_and_frozen_ones_have_none() -> None:
    whole = grown([(-1, [1], [2, 3], 0, False), (-1, [4], [5], 1, False), (-1, [6], [7], 2, False)])
    main, child = whole.to_samples([0.5, -2.0, 9.0])
    assert main.advantages is not None and main.advantages.tolist() == [0.0, 0.5, 0.5]
    assert child.advantages is not None and child.advantages.tolist() == [0.0, -2.0]


def test_a_masked_trajectory_and_unknown_logprobs_teach_nothing() -> None:
    whole = grown([(-1, [1], [2], 0, False)])
    whole.masked = "capture with a hole"
    assert whole.to_samples(1.0) == []
    unknown = Node(np.array([1, 2, 3], np.int32), 1, np.array([np.nan, -1], np.float32), np.zeros(2, np.int32))
    one = Trajectory("t/0/1", "t")
    one.add(unknown)
    (sample,) = one.to_samples(1.0)
    assert sample.weights.tolist() == [0.0, 0.0, 1.0] and sample.logprobs is not None
    assert np.isfinite(sample.logprobs).all()


def test_routing_is_unknown_where_nobody_recorded_it() -> None:
    whole = Trajectory("t/0/0", "t")
    first = whole.add(node([1], [2], routing=np.ones((2, 3, 2), np.uint16)))
    whole.add(node([3], [4], parent=first))
    (sample,) = whole.to_samples(1.0)
    assert sample.routing is not None and sample.routing.shape == (4, 3, 2)
    assert (sample.routing[:2] == 1).all() and (sample.routing[2:] == UNROUTED).all()


@pytest.mark.parametrize("wrong", [{"parent": 1}, {"parent": -2}, {"agent": 1}])
def test_a_node_that_names_what_is_not_there_is_refused(wrong) -> None:
    with pytest.raises(TrajectoryError, match="not there"):
        Trajectory("t/0/0", "t").add(node([1], [2], **wrong))


def test_a_node_needs_a_logprob_for_each_sampled_id() -> None:
    with pytest.raises(TrajectoryError, match="needs 2"):
        Node(np.zeros(3, np.int32), 1, np.zeros(1, np.float32), np.zeros(2, np.int32))


@pytest.mark.parametrize("shape", [(2, 3, 2), (4, 3, 2), (3, 6)])
def test_routing_has_a_row_for_each_id(shape: tuple[int, ...]) -> None:
    """On disk a node's routing has no length of its own: another one would shift those behind it."""
    with pytest.raises(TrajectoryError, match=r"must be \[3, layers"):
        node([1], [2, 3], routing=np.zeros(shape, np.uint16))


def test_as_many_are_given_as_there_are() -> None:
    with pytest.raises(TrajectoryError, match="-1 of them given"):
        Node(np.zeros(1, np.int32), -1, np.zeros(2, np.float32), np.zeros(2, np.int32))


@pytest.mark.parametrize("advantage", [[0.5, -2.0, 9.0], (0.5, -2.0, 9.0), np.array([0.5, -2.0, 9.0])])
def test_advantages_come_as_any_list_of_one_for_each_agent(advantage) -> None:
    whole = grown([(-1, [1], [2, 3], 0, False), (-1, [4], [5], 1, False)])
    assert [sample.advantages.tolist() for sample in whole.to_samples(advantage)] == [[0.0, 0.5, 0.5], [0.0, -2.0]]
    assert whole.to_samples(np.float32(2.0))[0].advantages.tolist() == [0.0, 2.0, 2.0]
    for wrong in (advantage[:2], [advantage], np.ones(1), []):
        with pytest.raises(TrajectoryError, match="one for each of its 3 agents"):
            whole.to_samples(wrong)
