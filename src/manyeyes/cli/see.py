"""Ask a trained model about a picture or a clip. Uses the last finished run unless --model names another."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from manyeyes.cli.locations import LocationError, run_folder
from manyeyes.core.media import Clip, MediaError, Picture
from manyeyes.core.messages import ImagePart, Message, TextPart, VideoPart

CLIPS = {".mp4", ".webm", ".mkv", ".mov", ".avi", ".gif"}


@dataclass(frozen=True)
class Options:
    """What to look at and what to ask."""

    picture: tyro.conf.Positional[Path | None] = None
    """image or video file"""
    question: tyro.conf.Positional[str] = "what is in the image?"
    """what to ask about it"""
    model: str = ""
    """run (path or name) or checkpoint folder (default: the last finished run)"""
    examples: bool = False
    """instead of a picture: answer three held-out questions that the run has never seen"""
    temperature: float = 0.0
    """0 is greedy"""
    max_new_tokens: int = 64
    """longest answer"""


def main(options: Options) -> int:
    """Print the answer."""
    from manyeyes.inference.conversation import Assistant
    from manyeyes.inference.sampling import SamplingParams

    params = SamplingParams(max_new_tokens=options.max_new_tokens, temperature=options.temperature)
    if options.examples:
        return _examples(options.model, params)
    if options.picture is None:
        raise LocationError("name a picture: manyeyes see PICTURE \"what colour is the shape?\"  (or --examples)")
    shown = _shown(options.picture)
    assistant = Assistant.load(checkpoint_of(options.model))
    answer = assistant.answer([Message("user", (shown, TextPart(options.question)))], params=params)
    print(answer.text)
    return 0


def checkpoint_of(name: str) -> Path:
    """The checkpoint folder that a run or folder name means."""
    if name and (Path(name) / "config.json").exists() and not (Path(name) / "metrics.jsonl").exists():
        return Path(name)
    return run_folder(name, having="model/config.json").path / "model"


def _shown(path: Path) -> ImagePart | VideoPart:
    if not path.exists():
        raise MediaError(f"no such picture: {path}")
    if path.suffix.lower() in CLIPS:
        return VideoPart(Clip.open(path))
    return ImagePart(Picture.open(path))


def _examples(model: str, params) -> int:
    """Three questions of the run's held-out examples, their pictures as files, answered anew by the exported model."""
    from manyeyes.inference.conversation import Assistant

    run = run_folder(model, having="model/config.json")
    pages = sorted((run.path / "examples").glob("*.json"))
    if not pages:
        raise LocationError(f"{run.path} kept no examples; ask about a picture of your own instead")
    rows = [row for row in json.loads(pages[-1].read_text()) if row["picture"]]
    assistant = Assistant.load(run.path / "model")
    for row in _varied(rows):
        picture = run.path / "examples" / row["picture"]
        parts = (ImagePart(Picture.open(picture)), TextPart(row["asked"]))
        answer = assistant.answer([Message("user", parts)], params=params)
        print(f"{picture}\n  question: {row['asked']}\n  answer:   {answer.text}   (truth: {row['truth']})")
    return 0


def _varied(rows: list[dict]) -> list[dict]:
    """Three rows, of different sets where there are some."""
    by_set: dict[str, list[dict]] = {}
    for row in rows:
        by_set.setdefault(row["name"].rsplit("/", 2)[0], []).append(row)
    rounds = [group[number] for number in range(3) for group in by_set.values() if number < len(group)]
    return rounds[:3]
