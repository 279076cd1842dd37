"""Parts of a request are one completion, routing too: as it was when each part was sampled."""

import numpy as np

from manyeyes.core.sampler import UNROUTED, Completion, joined


def said(ids: list[int], routing: np.ndarray | None) -> Completion:
    return Completion(ids, [-0.5] * len(ids), [0] * len(ids), routing=routing)


def sent(places: int, expert: int, *, unknown: tuple[int, ...] = ()) -> np.ndarray:
    routing = np.full((places, 2, 3), expert, np.uint16)
    routing[list(unknown)] = UNROUTED
    return routing


def test_what_the_first_part_knows_stays_and_the_rest_fills_in() -> None:
    """A prompt of 4, then 2 ids; then 3 more, for which all 6 were read again by other weights."""
    first, rest = sent(6, 1, unknown=(5,)), sent(9, 2, unknown=(8,))
    first[:3, 1] = UNROUTED  # the last layer of a prompt
    whole = joined(said([5, 6], first), said([7, 8, 9], rest)).routing
    assert whole is not None
    assert whole[:, 0, 0].tolist() == [1, 1, 1, 1, 1, 2, 2, 2, UNROUTED]
    assert whole[:, 1, 0].tolist() == [2, 2, 2, 1, 1, 2, 2, 2, UNROUTED]
    assert (rest[:5] == 2).all()  # the parts are as they were


def test_a_part_that_cannot_tell_leaves_nothing_known() -> None:
    assert joined(said([5], sent(3, 1)), said([6], None)).routing is None
    assert joined(said([5], None), said([6], sent(4, 1))).routing is None
    assert joined(said([], None), said([6], sent(4, 1))).routing is not None
