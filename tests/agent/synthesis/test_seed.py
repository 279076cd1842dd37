"""Seeds, and files of them."""

from pathlib import Path

import pytest

from manyeyes.agent.synthesis.seed import Seed, seed_file
from manyeyes.core.errors import DataError


def a_file(folder: Path, *lines: str) -> Path:
    path = folder / "seeds.jsonl"
    path.write_text("\n".join(lines))
    return path


def test_lines_become_seeds(tmp_path: Path) -> None:
    path = a_file(
        tmp_path,
        '{"prompt": "2 + 2?", "truth": "4", "id": "four"}',
        "",
        '{"turns": ["Start with 7.", "Double it."], "truths": [null, "14"], "thinking": true, "system": "Be brief."}',
        '{"prompt": "Tell me a story."}',
    )
    first, second, third = seed_file(path)
    assert first == Seed("four", ("2 + 2?",), ("4",))
    assert second == Seed("seeds/3", ("Start with 7.", "Double it."), (None, "14"), "Be brief.", True)
    assert not third.has_truth and second.has_truth


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "seeds.jsonl:1: .*truncated"),
        ("{}", "expected either prompt and truth, or turns and truths"),
        ('{"prompt": "a", "turns": ["b"]}', "expected either prompt"),
        ('{"turns": ["a", "b"], "truths": ["1"]}', "2 turns need as many truths, got 1"),
        ('{"prompt": " "}', "expected turns with something said"),
        ('{"promt": "a"}', "unknown field `promt`"),
        ('{"prompt": "a", "id": "x"}\n{"prompt": "b", "id": "x"}', "'x' is there twice"),
        ("\n", "holds no seed; a line is"),
    ],
)
def test_what_is_no_seed_is_named_by_its_line(tmp_path: Path, line: str, says: str) -> None:
    with pytest.raises(DataError, match=says):
        seed_file(a_file(tmp_path, line))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        seed_file(tmp_path / "gone.jsonl")
