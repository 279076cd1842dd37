"""`Assistant`: loads what a run exports, answers messages with pictures and clips, streams its text."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from manyeyes.core.chat import render
from manyeyes.core.errors import CheckpointError, ManyeyesError
from manyeyes.core.media import Clip, Picture
from manyeyes.core.messages import ImagePart, Message, TextPart, VideoPart
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.inference.conversation import Assistant, _TextStream
from manyeyes.inference.generate import Prompt, generate
from manyeyes.inference.sampling import SamplingParams
from manyeyes.model.checkpoint import read_config, save
from manyeyes.model.config import tiny
from manyeyes.model.multimodal import build

TOKENIZER = Tokenizer.tiny()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of one's own text: it never says a special token."""
    config = tiny()
    text = dataclasses.replace(config.text, num_hidden_layers=2, hidden_size=32, intermediate_size=32)
    config = dataclasses.replace(config, text=text)
    model, path = build(config, seed=0), tmp_path_factory.mktemp("run") / "model"
    with torch.no_grad():
        model.head_weight.mul_(20)
        model.head_weight[TOKENIZER.n_ranks :] = 0
    save(model, path, config, dtype=torch.float32)
    TOKENIZER.save(path / "tiktoken.model")
    return path


@pytest.fixture(scope="module")
def assistant(folder: Path) -> Assistant:
    return Assistant.load(folder)


def picture(seed: int, width: int = 32, height: int = 48) -> Picture:
    return Picture.of(np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8))


def question(*shown: ImagePart | VideoPart) -> list[Message]:
    return [Message("user", (*shown, TextPart("What is this?")))]


SHORT = SamplingParams(max_new_tokens=8)


def test_a_loaded_model_answers_as_the_saved_one(assistant: Assistant) -> None:
    asked = question(ImagePart(picture(0)))
    answer = assistant.answer(asked, params=SHORT)
    rendered = render(asked, TOKENIZER, rules=assistant.model.config.rules, thinking=False, generation_prompt=True)
    prompt = Prompt(rendered.ids, tuple(visual.media() for visual in rendered.visuals))
    (completion,) = generate(assistant.model, [prompt], params=SHORT, stop_ids=(TOKENIZER.im_end,))
    assert answer.role == "assistant" and answer.text == TOKENIZER.decode(completion.ids)


def test_pictures_and_clips_change_the_answer(assistant: Assistant) -> None:
    clip = Clip(tuple(picture(seed, 32, 32) for seed in range(6)), fps=2.0)
    answers = [
        assistant.answer(question(*shown), params=SHORT).text
        for shown in ((), (ImagePart(picture(1)),), (ImagePart(picture(2)),), (VideoPart(clip),))
    ]
    assert len(set(answers)) == len(answers)


@pytest.mark.parametrize("params", [SHORT, SamplingParams(max_new_tokens=20, temperature=1.0, seed=2)])
def test_streamed_text_is_the_answer(assistant: Assistant, params: SamplingParams) -> None:
    heard: list[str] = []
    answer = assistant.answer(question(), params=params, on_text=heard.append)
    assert answer.text.startswith("".join(heard)) and len(heard) > 1


def test_an_unfinished_character_waits_for_its_bytes() -> None:
    heard: list[str] = []
    stream = _TextStream(TOKENIZER, heard.append)
    for token in TOKENIZER.encode("a 𓀀 b"):
        stream.add(token)
    stream.add(TOKENIZER.im_end)
    assert "".join(heard) == "a 𓀀 b" and not any("\N{REPLACEMENT CHARACTER}" in piece for piece in heard)


def test_a_folder_without_a_model_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint folder"):
        Assistant.load(tmp_path / "absent")
    with pytest.raises(CheckpointError) as caught:
        Assistant.load(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_missing_shard_is_named(folder: Path, tmp_path: Path) -> None:
    model = build(read_config(folder), seed=0)
    save(model, tmp_path / "model", model.config, dtype=torch.float32, max_shard_bytes=100_000)
    TOKENIZER.save(tmp_path / "model" / "tiktoken.model")
    shards = sorted((tmp_path / "model").glob("*.safetensors"))
    assert len(shards) > 2
    shards[1].unlink()
    with pytest.raises(CheckpointError, match=shards[1].name) as caught:
        Assistant.load(tmp_path / "model")
    assert "\n" not in str(caught.value)


def test_a_model_without_its_vocabulary_is_one_clear_error(folder: Path, tmp_path: Path) -> None:
    for part in folder.iterdir():
        if part.name != "tiktoken.model":
            (tmp_path / part.name).symlink_to(part)
    with pytest.raises(ManyeyesError, match="tiktoken.model") as caught:
        Assistant.load(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("temperature", [0.0, 1.0, 3.0])
def test_a_model_that_has_learned_nothing_says_what_can_be_read(temperature: float) -> None:
    """Every special token is as likely as any word here."""
    untrained = Assistant(build(tiny(), seed=3), TOKENIZER)
    for seed in range(6):
        params = SamplingParams(max_new_tokens=24, temperature=temperature, seed=seed)
        answer = untrained.answer(question(ImagePart(picture(seed))), params=params)
        assert answer.role == "assistant" and not answer.tool_calls
        assert (
            untrained.answer(question(), params=SamplingParams(max_new_tokens=8), thinking=True).reasoning is not None
        )
