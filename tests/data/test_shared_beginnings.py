"""Bundles hold every sample once, cut where it may be cut: not in what is learned, not in a picture."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manyeyes.core.errors import DataError
from manyeyes.core.media import Grid, Media
from manyeyes.core.sample import Sample
from manyeyes.data.packing import Pack, pack, stack, unpack
from manyeyes.data.shared_beginnings import LEAST, bundles, pack_shared, shared_tokens

PAD, MEDIA_PAD = 99, 77
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
    assert batch.tokens <= whole
    for column, blank in ((batch.logprobs_BT, 0), (batch.advantages_BT, 0), (batch.versions_BT, -1)):
        assert column is not None and (column[batch.weights_BT == 0] == blank).all()


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


@pytest.mark.parametrize("continued", [(0, -1), (-1, 0, 1), (-1,)])
def test_what_cannot_be_continued_is_refused(continued: tuple[int, ...]) -> None:
    ones = [sample(f"{n}", [1, 2, 3], [n]) for n in range(3)]
    if max(continued) < 0:
        continued = (-1, -1, 2)
    with pytest.raises(DataError, match="continues"):
        pack(ones, 64, pad_id=PAD, continued=continued)
