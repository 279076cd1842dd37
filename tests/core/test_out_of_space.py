"""Out of space: one table, whatever wrote."""

import errno
import os

import pytest

from manyeyes.core.out_of_space import OUT_OF_SPACE, out_of_space, out_of_space_line


@pytest.mark.parametrize("number", OUT_OF_SPACE)
def test_the_number_and_its_words_say_the_same(number: int) -> None:
    words = os.strerror(number)
    assert out_of_space(OSError(number, words)) == out_of_space(RuntimeError(f"I/O error: {words}"))
    line = out_of_space_line(OSError(number, words))
    assert line == f"writing: {OUT_OF_SPACE[number]}; free some space and try again"


def test_other_failures_are_not_explained_away() -> None:
    error = OSError(errno.EIO, os.strerror(errno.EIO), "weights.bin")
    assert out_of_space(error) is None and out_of_space_line(error) is None
