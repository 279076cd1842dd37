"""What long-context stages learn from at each length: long text, long clips, reasoning chains, and what came before.

Report: §4.3 (long-context activation: long text, long video, reasoning, ordinary data).
"""

from collections.abc import Mapping
from typing import NamedTuple


class Long(NamedTuple):
    """Sources that fill rows of one length."""

    retrieval: tuple[str, ...]
    chains: str
    clips: str


BY_LENGTH = {
    1024: Long(("needles", "key_values", "variables"), "chains_16", "long"),
    4096: Long(("needles", "key_values", "variables"), "chains_64", "long_480"),
    16_384: Long(("needles", "variables"), "chains_256", "long_1920"),
    32_768: Long(("needles", "variables"), "chains_256", "long_5400"),
    262_144: Long(("needles", "variables"), "chains_1024", "long_43200"),
}
"""Clips by their frames, two a second; those of 262,144 tokens last six hours."""


def long_blend(ordinary: Mapping[str, float], length: int) -> dict[str, float]:
    """Weights of a long-context stage.

    Args:
        ordinary: weights of the stage before.
        length: of a row, a key of `BY_LENGTH`.
    """
    long = BY_LENGTH[length]
    text = {f"synthetic/retrieval/{kind}_{length}": 1.0 for kind in long.retrieval}
    more = {"package_repositories": 4.0, long.chains: 1.0, f"synthetic/video/{long.clips}": 3.0}
    return dict(ordinary) | more | text
