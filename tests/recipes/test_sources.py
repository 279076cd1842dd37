"""What a mixture can name beside registered sources: dialogues that programs make, and people's files."""

import dataclasses
import json
from pathlib import Path

import pytest

from manyeyes.core.errors import ConfigError, DataError
from manyeyes.core.media import MediaRules
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.data.collection import DIALOGUE
from manyeyes.data.mixture import constant
from manyeyes.data.registry import Registry
from manyeyes.recipes import recipe
from manyeyes.recipes.overrides import apply_overrides
from manyeyes.recipes.readiness import check_names
from manyeyes.recipes.run import HeldOut, Run
from manyeyes.recipes.sources import DIALOGUES, SOURCES, is_file, with_paths_from

LINE = {"messages": [{"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "4"}]}
DIALOGUE_NAMES = [info.name for info in DIALOGUES]


def a_file(path: Path, lines: int = 2) -> str:
    path.write_text("\n".join([json.dumps(LINE)] * lines))
    return str(path)


def drawing(weights: dict[str, float], *, vision: float = 0.0, held_out: tuple[HeldOut, ...] = ()) -> Run:
    """`tiny.sft` with another mixture and other held-out sets."""
    run = recipe("tiny.sft")
    stage = dataclasses.replace(run.stages[-1], mixture=constant(vision, weights=weights), held_out=())
    return dataclasses.replace(run, stages=(stage,), held_out=held_out)


def test_a_file_is_a_source_by_its_path(tmp_path: Path) -> None:
    name = a_file(tmp_path / "mine.jsonl")
    assert name in SOURCES and SOURCES[name].kind == DIALOGUE and SOURCES[name].domain == "text"
    source = SOURCES.source(name, Tokenizer.tiny(), rules=MediaRules(), part_length=64)
    assert (source.name, len(source)) == (name, 2) and source.sample(1, 0).length == source.length(1, 0)
    check_names(drawing({name: 1.0, "small_talk": 1.0}))


@pytest.mark.parametrize(
    ("name", "file"), [("a.jsonl", True), ("/x/y.jsonl", True), ("easy_vqa", False), (None, False)]
)
def test_what_looks_like_a_file(name: object, file: bool) -> None:
    assert is_file(name) is file


def test_a_file_that_is_not_there_is_said_before_the_run() -> None:
    with pytest.raises(DataError, match="gone.jsonl: cannot be read"):
        check_names(drawing({"gone.jsonl": 1.0}))


def test_dialogues_and_records_are_opened_by_their_own_ways(tmp_path: Path) -> None:
    name = a_file(tmp_path / "mine.jsonl")
    with pytest.raises(DataError, match="holds dialogues, no records; open it with open_dialogues"):
        SOURCES.open(name, "train")
    with pytest.raises(DataError, match="small_talk holds records of kind web, no dialogues"):
        SOURCES.open_dialogues("small_talk", "train")


def test_dialogues_that_are_never_drawn_are_refused(tmp_path: Path) -> None:
    name = a_file(tmp_path / "mine.jsonl")
    with pytest.raises(ConfigError, match="stage sft never draws from .*mine.jsonl .*no share for text"):
        check_names(drawing({name: 1.0, "easy_vqa": 1.0}, vision=1.0))


def test_what_is_learned_from_is_not_held_out(tmp_path: Path) -> None:
    name, other = a_file(tmp_path / "mine.jsonl"), a_file(tmp_path / "other.jsonl")
    held_out = (HeldOut("mine", name, "loss"),)
    with pytest.raises(ConfigError, match="held-out set mine: .*mine.jsonl is learned from, too"):
        check_names(drawing({name: 1.0}, held_out=held_out))
    check_names(drawing({other: 1.0}, held_out=held_out))
    with pytest.raises(ConfigError, match="dialogues are scored by their loss, not by 'answer'"):
        check_names(drawing({other: 1.0}, held_out=(HeldOut("mine", name, "answer"),)))


def test_paths_start_where_the_user_is(tmp_path: Path) -> None:
    a_file(tmp_path / "my.data.jsonl")
    path = "stages.sft.mixture.segments.0.weights.my.data.jsonl=2.5"
    run = with_paths_from(apply_overrides(drawing({"small_talk": 1.0}), [path]), tmp_path)
    absolute = str(tmp_path.resolve() / "my.data.jsonl")
    assert run.stages[0].mixture.segments[0].weights == {"small_talk": 1.0, absolute: 2.5}
    held_out = with_paths_from(drawing({"small_talk": 1.0}, held_out=(HeldOut("m", "a.jsonl", "loss"),)), tmp_path)
    assert held_out.held_out[0].source == str(tmp_path.resolve() / "a.jsonl")
    assert with_paths_from(recipe("tiny"), tmp_path) == recipe("tiny")


@pytest.mark.parametrize("name", DIALOGUE_NAMES)
@pytest.mark.parametrize("split", ["train", "test"])
def test_made_dialogues_are_what_they_say_and_fit_the_recipe(name: str, split) -> None:
    info = SOURCES[name]
    assert info.kind == DIALOGUE and info.synthetic
    row = max(stage.row_length for stage in recipe("tiny.sft").stages)
    source = SOURCES.source(name, Tokenizer.tiny(), rules=recipe("tiny").model.rules, part_length=row, split=split)
    assert source.name == name
    for index in range(3):
        sample = source.sample(index, 0)
        assert sample.length <= row and sample.weights.max() > 0
        assert info.domain == "vision" or not sample.media


@pytest.mark.parametrize("name", DIALOGUE_NAMES)
def test_splits_share_no_dialogue(name: str) -> None:
    train, test = (SOURCES.open_dialogues(name, split) for split in ("train", "test"))
    assert {train.dialogue(i).messages for i in range(20)}.isdisjoint(test.dialogue(i).messages for i in range(20))


def test_dialogues_need_no_kind_of_their_domain() -> None:
    info = dataclasses.replace(SOURCES["small_talk"], name="talk", kind=DIALOGUE)
    assert Registry([info])["talk"].is_dialogues
