"""Bundles hold every sample once, cut where it may be cut: not in what is learned, not in a picture."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manyeyes.core.errors import DataError
from manyeyes.core.media import Grid, Media
from manyeyes.core.sample import Sample
from manyeyes.core.trajectory import UNROUTED
from manyeyes.data.packing import Pack, pack, stack, unpack
from manyeyes.data.shared_beginnings import LEAST, LONGEST, bundles, clusters, pack_shared, shared_tokens
from manyeyes.model.packed_attention import LONGEST_TILED

PAD, MEDIA_PAD = 99, 77
COLUMNS = ("ids", "weights", "logprobs", "advantages", "versions")
PICTURE = Media(np.zeros((4, 3, 8, 8), np.uint8), Grid(1, 2, 2))


def sample(name: str, prompt: list[int], answer: list[int], media: tuple[Media, ...] = ()) -> Sample:
    ids = np.array([*prompt, *answer], np.int32)
    learned = (np.arange(len(ids)) >= len(prompt)).astype(np.float32)
    versions = np.where(learned > 0, 3, -1).astype(np.int32)
    return Sample(ids, learned, media, name, -learned, 2 * learned, versions)


def seen_by(row: Pack) -> dict[str, tuple[list[int], list[int], float]]:
    """Of each sample that is learned from: the ids it sees, their positions, and the weight that it carries."""
    found = {}
    for number, name in enumerate(row.names):
        own = row.segments == number
        before = np.zeros_like(own)
        if row.continues is not None and (earlier := int(row.continues[own][0])) >= 0:
            before = row.segments == earlier
        if row.weights[own].any():
            ids, positions = (np.concatenate([x[before], x[own]]).tolist() for x in (row.ids, row.positions))
            found[name] = (ids, positions, float(row.weights[own].sum()))
    return found


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 60), st.lists(st.integers(1, 30), min_size=1, max_size=9)), min_size=1, max_size=5
    )
)
def test_each_sample_sees_all_of_itself_once(groups: list[tuple[int, list[int]]]) -> None:
    made = [
        [sample(f"{g}/{n}", list(range(prompt)), [n] * answer) for n, answer in enumerate(answers)]
        for g, (prompt, answers) in enumerate(groups)
    ]
    rows = pack_shared(made, 128, pad_id=PAD)
    found = [item for row in rows for item in seen_by(row).items()]
    wanted = {one.name: one for group in made for one in group}
    assert sorted(name for name, _ in found) == sorted(wanted)
    for name, (ids, positions, weight) in found:
        assert ids == wanted[name].ids.tolist() and positions == list(range(len(ids)))
        assert weight == wanted[name].weights.sum()
    batch = stack(rows)
    whole = sum(one.length for group in made for one in group)
    assert batch.tokens <= whole == batch.seen
    for column, blank in ((batch.logprobs_BT, 0), (batch.advantages_BT, 0), (batch.versions_BT, -1)):
        assert column is not None and (column[batch.weights_BT == 0] == blank).all()


def test_beginnings_that_stand_within_each_other_may_be_as_many_as_one_likes() -> None:
    ids = list(range(100, 1700))
    ones = [sample(f"{n}", ids[: n + 20], [7]) for n in range(1500)]
    parts = clusters(ones)
    assert [one.name for part in parts for one in part] == [f"{n}" for n in range(1500)]
    assert all(shared_tokens(part) >= LEAST for part in parts if len(part) > 1) and len(parts[-1]) > 700


def test_the_last_common_token_goes_to_each_branch() -> None:
    ones = [sample(f"{n}", list(range(40)), [50 + n] * 3) for n in range(3)]
    (bundle,) = bundles(ones, 100)
    assert [one.length for one in bundle.samples] == [39, 4, 4, 4] and bundle.length == 51
    assert bundle.samples[1].ids.tolist() == [39, 50, 50, 50] and not bundle.samples[0].weights.any()


def test_what_would_not_pay_is_left_whole() -> None:
    short = [sample(f"{n}", list(range(LEAST)), [n] * 3) for n in range(2)]
    other = [sample("a", list(range(40)), [1]), sample("b", list(range(1, 41)), [1])]
    long = [sample(f"{n}", list(range(40)), [n] * 59) for n in range(2)]
    for ones in (short, other, long, long[:1], []):
        assert [one.samples for one in bundles(ones, 100)] == [(one,) for one in ones]


def test_a_group_that_is_longer_than_a_row_takes_its_beginning_into_each() -> None:
    ones = [sample(f"{n}", list(range(40)), [n] * 20) for n in range(5)]
    made = list(bundles(ones, 100))
    assert [len(one.samples) for one in made] == [3, 3, 1] and all(one.length <= 100 for one in made)
    with pytest.raises(DataError, match="row_length"):
        pack_shared([[sample("x", list(range(40)), [1] * 90)] * 2], 100, pad_id=PAD)


def test_nothing_that_is_learned_is_shared() -> None:
    ones = [sample(f"{n}", list(range(40)), [7, 7, n]) for n in range(2)]
    assert shared_tokens(ones) == 39
    early = dataclasses.replace(ones[0], weights=np.where(np.arange(43) == 20, 1, ones[0].weights).astype(np.float32))
    assert shared_tokens([early, ones[1]]) == 19
    silent = [dataclasses.replace(one, weights=np.zeros(43, np.float32)) for one in ones]
    assert shared_tokens(silent) == 41


def test_pictures_are_shared_where_all_show_the_same_and_never_cut() -> None:
    other = Media(np.ones((4, 3, 8, 8), np.uint8), PICTURE.grid)
    prompt = [*range(20), *[MEDIA_PAD] * 4, *range(30, 50)]
    ones = [sample(f"{n}", prompt, [n], (PICTURE,)) for n in range(3)]
    assert shared_tokens(ones, media_pad=MEDIA_PAD) == 43 and shared_tokens(ones) == 0
    (bundle,) = bundles(ones, 100, media_pad=MEDIA_PAD)
    assert [len(one.media) for one in bundle.samples] == [1, 0, 0, 0]
    differing = [*ones, sample("d", prompt, [9], (other,))]
    assert shared_tokens(differing, media_pad=MEDIA_PAD) == 20
    inside = [sample(f"{n}", [*range(20), MEDIA_PAD], [MEDIA_PAD] * 3, (PICTURE,)) for n in range(2)]
    silent = [dataclasses.replace(one, weights=np.zeros(24, np.float32)) for one in inside]
    assert shared_tokens(silent, media_pad=MEDIA_PAD) == 20


def test_rows_that_share_are_not_taken_apart() -> None:
    ones = [sample(f"{n}", list(range(40)), [n]) for n in range(2)]
    (row,) = pack_shared([ones], 100, pad_id=PAD)
    with pytest.raises(DataError, match="share beginnings"):
        unpack(row)


@pytest.mark.parametrize("continued", [(0, -1), (-1, 0, 1), (-1,), (-1, -1, 2), (-1, -2, -1), (-1, -1, -1, -1)])
def test_what_cannot_be_continued_is_refused(continued: tuple[int, ...]) -> None:
    ones = [sample(f"{n}", [1, 2, 3], [n]) for n in range(3)]
    with pytest.raises(DataError, match="continues"):
        pack(ones, 64, pad_id=PAD, continued=continued)
    empty = dataclasses.replace(ones[0], **{name: getattr(ones[0], name)[:0] for name in COLUMNS})
    with pytest.raises(DataError, match="not empty"):
        pack([empty, ones[1]], 64, pad_id=PAD, continued=(-1, 0))


def routed(one: Sample, *, differs_at: int | None = None) -> Sample:
    """As every sample; at one place as no other."""
    routing = np.tile(np.array([[0, 1], [2, 3]], np.uint16), (one.length, 1, 1))
    if differs_at is not None:
        routing[differs_at, 1] = [4, 5]
    return dataclasses.replace(one, routing=routing)


def test_what_was_routed_in_several_ways_is_not_shared() -> None:
    """A token that is computed once is sent to one set of experts; where attempts part, replay needs each one's own."""
    ones = [sample(f"{n}", list(range(40)), [n] * 3) for n in range(3)]
    assert shared_tokens([routed(one) for one in ones]) == 39
    assert shared_tokens([routed(ones[0]), routed(ones[1], differs_at=20), routed(ones[2], differs_at=30)]) == 20
    assert shared_tokens([routed(ones[0]), routed(ones[1], differs_at=41)]) == 39  # behind what they share
    assert shared_tokens([routed(ones[0]), ones[1]]) == 0
    backwards, unknown = routed(ones[1]), routed(ones[2])
    backwards.routing[...] = backwards.routing[..., ::-1]
    unknown.routing[25:] = UNROUTED
    assert shared_tokens([routed(ones[0]), backwards]) == 39 and shared_tokens([routed(ones[0]), unknown]) == 25
    (row,) = pack_shared([[routed(ones[0]), routed(ones[1], differs_at=20)]], 100, pad_id=PAD)
    assert row.routing is not None and row.continues is not None
    assert row.routing[row.segments == 2][0, 1].tolist() == [4, 5] and (row.segments == 0).sum() == 20


def test_samples_of_a_group_are_parted_by_what_they_begin_with() -> None:
    """A main agent and two kinds of others begin with one system prompt; each kind goes on in its own way."""
    system, main, reader = [7] * 20, list(range(200, 260)), list(range(300, 340))
    made = [
        sample(f"{attempt}/{kind}", [*system, *words], [attempt] * 5)
        for attempt in range(4) for kind, words in (("main", main), ("reader", reader))
    ]  # fmt: skip
    lonely = sample("lonely", list(range(50)), [1])
    parts = clusters([*made, lonely])
    kinds = [{one.name.rpartition("/")[2] for one in part} for part in parts]
    assert sorted(map(sorted, kinds)) == [["lonely"], ["main"], ["reader"]]
    rows = stack(pack_shared([[*made, lonely]], 256, pad_id=PAD))
    assert rows.seen - rows.tokens == 3 * 79 + 3 * 59
    assert sorted(name for row in rows.names for name in row if "[" not in name) == sorted(
        one.name for one in [*made, lonely]
    )
    apart = [sample(f"{n}", [*system, n], [n]) for n in range(5)]  # nothing in common but the system prompt
    assert [len(part) for part in clusters(apart)] == [5]


def test_a_branch_whose_attention_would_keep_more_than_a_whole_samples_is_left_whole() -> None:
    assert LONGEST == LONGEST_TILED
    prompt = list(range(100, 700))
    ones = [sample(f"{n}", prompt, [n] * length) for n, length in enumerate((300, 300, 700))]
    made = list(bundles(ones, 4096))
    assert sorted(len(one.samples) for one in made) == [1, 3]
    for bundle in made:
        for branch in bundle.samples[1:]:
            assert branch.length * (2 * bundle.samples[0].length + branch.length) <= LONGEST**2
