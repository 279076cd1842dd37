"""`manyeyes see`, with a model that is as it was before training: what it says does not matter here."""

import json

import numpy as np
import pytest
from PIL import Image

from manyeyes.cli.main import main
from manyeyes.core.conversation import ChatError
from manyeyes.core.errors import DataError
from manyeyes.core.messages import Message
from manyeyes.core.runlog import RunFolder
from manyeyes.recipes import recipe

FEW = ["--max-new-tokens", "3"]


@pytest.fixture
def cat(runs):
    """A picture in the working folder."""
    Image.fromarray(np.full((40, 56, 3), 200, np.uint8)).save("cat.png")
    return "cat.png"


@pytest.fixture(scope="session")
def huge(tmp_path_factory):
    """A picture whose header says 20,000x20,000."""
    path = tmp_path_factory.mktemp("pictures") / "huge.png"
    Image.new("1", (20_000, 20_000)).save(path)
    return path


def error(capsys) -> str:
    printed = capsys.readouterr()
    (line,) = printed.err.splitlines()
    assert line.startswith("manyeyes: ") and printed.out == ""
    return line


def test_the_answer_comes_with_picture_and_question(finished, cat, capsys) -> None:
    assert main(["see", cat, "what", "colour", "is", "it?", *FEW]) == 0
    picture, question, answer = capsys.readouterr().out.splitlines()
    assert picture == "cat.png" and question == "  question  what colour is it?" and answer.startswith("  answer    ")


def test_plain_is_the_answer_alone_and_the_same_each_time(random_model, cat, capsys) -> None:
    said = []
    for _ in range(2):
        assert main(["see", cat, "--model", str(random_model), "--plain", *FEW]) == 0
        said.append(capsys.readouterr().out)
    assert said[0] == said[1] and said[0].count("\n") == 1


@pytest.mark.parametrize("command", ["see", "chat"])
def test_the_device_is_the_users(command, finished, cat, monkeypatch, capsys) -> None:
    from manyeyes.inference.conversation import Assistant

    seen = []

    def load(folder, *, device):
        seen.append(str(device))
        raise DataError("not loaded here")

    monkeypatch.setattr(Assistant, "load", load)
    picture = [cat] if command == "see" else []
    assert main([command, *picture, "--device", "cpu"]) == 2
    assert main([command, *picture]) == 2  # auto
    assert seen[0] == "cpu" and len(seen) == 2


def test_a_seed_decides_what_is_drawn(random_model, cat, capsys) -> None:
    said = []
    for seed in ("1", "1", "2"):
        arguments = ["--model", str(random_model), "--plain", "--temperature", "1", "--top-p", "0.5", "--seed", seed]
        assert main(["see", cat, *arguments, "--max-new-tokens", "8"]) == 0
        said.append(capsys.readouterr().out)
    assert said[0] == said[1] != said[2]


def test_examples_are_of_different_sets_with_pictures_and_truths(finished, capsys) -> None:
    assert main(["see", "--examples", *FEW]) == 0
    blocks = capsys.readouterr().out.strip().split("\n\n")
    assert len(blocks) == 3
    questions = {block.splitlines()[1] for block in blocks}
    assert len(questions) == 3
    for block in blocks:
        assert block.splitlines()[0].endswith(".png") and "  truth     " in block


def test_a_picture_of_one_pixel_is_one_token(random_model, runs, monkeypatch, capsys) -> None:
    from manyeyes.inference import conversation

    seen = []
    generate = conversation.generate

    def noted(model, prompts, **settings):
        seen.extend(media.grid.tokens for prompt in prompts for media in prompt.media)
        pad = model.config.media_placeholder_token_id
        seen.append(sum(int((prompt.ids == pad).sum()) for prompt in prompts))
        return generate(model, prompts, **settings)

    monkeypatch.setattr(conversation, "generate", noted)
    Image.new("RGB", (1, 1), (200, 0, 0)).save("dot.png")
    assert main(["see", "dot.png", "what is it?", "--model", str(random_model), *FEW]) == 0
    printed = capsys.readouterr()
    assert seen == [1, 1] and printed.err == "" and "  answer    " in printed.out


def test_examples_of_clips_are_left_out(finished, capsys) -> None:
    """Only the first frame of a clip was kept, and what moves cannot be seen in it."""
    for page in (finished / "examples").glob("*.json"):
        rows = json.loads(page.read_text())
        for row in rows:
            row["clip"] = not row["name"].startswith("easy_vqa")
        page.write_text(json.dumps(rows))
    assert main(["see", "--examples", *FEW]) == 0
    blocks = capsys.readouterr().out.strip().split("\n\n")
    assert len(blocks) == 3 and all("what color is" in block for block in blocks)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "name a picture"),
        (["cat.png", "--device", "tpu"], "expected auto, cpu, cuda or cuda:N"),
        (["cat.png", "--device", "cuda:99"], "use --device cpu"),
        (["cta.png"], "did you mean cat.png?"),
        (["folder"], "this is a folder"),
        (["text.png"], "not a picture, it holds text"),
        (["empty.png"], "it is empty"),
        (["huge.png"], "the limit is 89,478,485 pixels"),
        (["clip.mp4"], "clip.mp4"),
        (["cat.png", "--temperature", "-1"], "temperature must be 0"),
        (["cat.png", "--max-new-tokens", "0"], "max_new_tokens must be at least 1"),
        (["cat.png", "--model", "nothing"], "no run 'nothing'"),
        (["cat.png", "--model", "empty_folder"], "config.json"),
        (["cat.png", "--examples"], "--examples brings its own pictures"),
    ],
)
def test_wrong_input_is_one_line(arguments, says, finished, cat, huge, tmp_path, capsys) -> None:
    (tmp_path / "here" / "folder").mkdir()
    (tmp_path / "here" / "empty_folder").mkdir()
    (tmp_path / "here" / "text.png").write_text("I am a text file")
    (tmp_path / "here" / "clip.mp4").write_text("I am a text file")
    (tmp_path / "here" / "empty.png").touch()
    (tmp_path / "here" / "huge.png").symlink_to(huge)
    assert main(["see", *arguments]) == 2
    assert says in error(capsys)


def test_without_a_finished_run_it_says_how_to_get_one(runs, cat, capsys) -> None:
    assert main(["see", cat]) == 2
    assert "no finished run" in (line := error(capsys)) and "manyeyes run tiny" in line
    RunFolder.create(runs / "tiny-1", recipe("tiny").to_json())
    assert main(["see", cat]) == 2
    assert "no finished run" in error(capsys)
    assert main(["see", cat, "--model", "tiny-1"]) == 2
    assert "training is unfinished" in error(capsys)


def test_a_run_is_named_by_name_path_or_model_folder(finished, cat, capsys) -> None:
    said = set()
    for model in (finished.name, str(finished), str(finished / "model")):
        assert main(["see", cat, "--model", model, "--plain", *FEW]) == 0
        said.add(capsys.readouterr().out)
    assert len(said) == 1


def test_a_run_without_kept_examples_says_so(finished, capsys) -> None:
    for page in (finished / "examples").glob("*.json"):
        page.unlink()
    assert main(["see", "--examples"]) == 2
    assert "kept no examples" in error(capsys)


def test_an_unreadable_answer_does_not_hide_the_others(finished, capsys, monkeypatch) -> None:
    from manyeyes.inference.conversation import Assistant

    answers = [Message("assistant", "one"), ChatError("a special token in the content"), Message("assistant", "three")]

    def answer(*_, **__) -> Message:
        said = answers.pop(0)
        if isinstance(said, ChatError):
            raise said
        return said

    monkeypatch.setattr(Assistant, "answer", answer)
    assert main(["see", "--examples"]) == 1
    lines = [line.split(maxsplit=1)[1] for line in capsys.readouterr().out.splitlines() if "  answer " in line]
    assert lines == ["one", "(unreadable: a special token in the content)", "three"]


def test_weights_that_are_cut_short_are_one_line(finished, cat, random_model, tmp_path, capsys) -> None:
    import shutil

    damaged = tmp_path / "damaged"
    shutil.copytree(random_model, damaged)
    (weights,) = damaged.glob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1000])
    assert main(["see", cat, "--model", str(damaged)]) == 2
    assert "safetensors" in error(capsys)
