"""What can be said about a run before anything of it exists: a wrong name or a missing file ends it at once.

    check_names    every source of every stage and held-out set is registered, and each mixture's ratio can be met
    check_order    no stage learns from weights that are still random
    check_start    the checkpoints and the vocabulary that it names are there; asked only of a run that begins
    check_files    everything that its sources read has been installed or fetched; all that is missing is named at once

A run lasts for hours, and its last stage may be the first to need a name or a file. `manyeyes run` asks here before it
makes a folder.
"""

import difflib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from manyeyes.core.errors import CheckpointError, ConfigError, DataError
from manyeyes.data.blend import Blend
from manyeyes.data.caption_cap import within_caps
from manyeyes.data.source import VISION
from manyeyes.data.source_info import SourceInfo
from manyeyes.model.checkpoint_folder import read_config
from manyeyes.recipes.run import Run
from manyeyes.recipes.sources import SOURCES, is_file
from manyeyes.recipes.starting_model import start_of
from manyeyes.train.stages import Stage


def check_names(run: Run) -> None:
    """Every source that the run names is registered, and every mixture finds sources for its vision ratio.

    Raises:
        ConfigError: naming each unknown source with its place and the nearest known one; or what a mixture lacks; or
            dialogues that would never be drawn, are asked like questions, or are learned and held out at once.
        DataError: a file of conversations that is not there, or its lines that cannot be used.
    """
    unknown = {name: where for where, name in _named(run) if name not in SOURCES}
    if unknown:
        raise ConfigError(
            "; ".join(f"{where}: no source named {name!r}{_near(name)}" for name, where in unknown.items())
        )
    for stage in run.stages:
        try:
            infos = [SOURCES[name] for name in stage.sources]
            Blend(within_caps(stage.mixture, infos), {info.name: info.domain for info in infos})
        except ConfigError as error:
            raise ConfigError(f"stage {stage.name}: {error}") from None
        _require_drawn(stage, infos)
    _check_held_out_dialogues(run)


def _require_drawn(stage: Stage, infos: Iterable[SourceInfo]) -> None:
    """Dialogues whose domain never has a share would be left out in silence."""
    for info in infos:
        shares = [s.vision if info.domain == VISION else 1.0 - s.vision for s in stage.mixture.segments]
        if info.is_dialogues and not any(shares):
            raise ConfigError(
                f"stage {stage.name} never draws from {info.name} ({info.about}): its mixture has no share for "
                f"{info.domain}; change the stage's vision ratio, or leave the source out"
            )


def _check_held_out_dialogues(run: Run) -> None:
    learned = {name for stage in run.stages for name in stage.sources if is_file(name)}
    for held_out in run.held_out:
        if held_out.source in learned:
            raise ConfigError(
                f"held-out set {held_out.name}: {held_out.source} is learned from, too; name another file, such as "
                "one with a tenth of the lines"
            )
        if SOURCES[held_out.source].is_dialogues and held_out.scorer != "loss":
            raise ConfigError(
                f"held-out set {held_out.name}: dialogues are scored by their loss, not by {held_out.scorer!r}"
            )


def _named(run: Run) -> Iterator[tuple[str, str]]:
    """(where, source)."""
    for stage in run.stages:
        for name in (*stage.sources, *stage.mixture.epochs):
            yield f"stage {stage.name}", name
    for held_out in run.held_out:
        yield f"held-out set {held_out.name}", held_out.source


def _near(name: str) -> str:
    near = difflib.get_close_matches(name, [info.name for info in SOURCES], n=3)
    return f"; did you mean {' or '.join(near)}?" if near else " (`examples/list_sources.py` lists them all)"


def check_order(run: Run) -> None:
    """No stage trains against the small language model while that is still random.

    Raises:
        ConfigError: naming the stage.
    """
    if stage := _against_noise(run):
        raise ConfigError(
            f"stage {stage.name} trains against the small language model (align), which no stage before it trains; "
            "give its checkpoint as start_align=FOLDER (for k25: Moonlight-16B-A3B)"
        )


def check_start(run: Run) -> None:
    """Whatever the run begins with is there. A run that goes on needs none of it: all is in its checkpoint and folder.

    Raises:
        ConfigError: no such vocabulary; no model named to go on from.
        CheckpointError: a checkpoint to start from is not there.
    """
    for field in ("start_text", "start_vision", "start_align"):
        folder = getattr(run, field)
        if folder and not Path(folder).is_dir():
            raise CheckpointError(f"{field}={folder}: there is no such checkpoint folder")
    if run.start_model or run.after:
        read_config(start_of(run))
    elif run.vocabulary not in ("tiny", "learn") and not Path(run.vocabulary).exists():
        raise ConfigError(
            f"vocabulary={run.vocabulary}: there is no such file; name a tiktoken file, or say tiny or learn"
        )


def _against_noise(run: Run) -> Stage | None:
    """The first stage that uses the small language model before anything was learned in it."""
    if run.start_align:
        return None
    for stage in run.stages:
        if "align.language_model" in stage.trainable:
            return None
        if stage.language == "align":
            return stage
    return None


def check_files(run: Run, data_folder: Path) -> None:
    """All packages and downloads of the run's sources are there.

    Raises:
        DataError: one line for each missing file with the command that brings it, and the sources that read it.
    """
    waiting: dict[str, list[str]] = {}
    for name in sorted({name for _, name in _named(run)}):
        for reason in _missing(SOURCES[name], data_folder):
            waiting.setdefault(reason, []).append(name)
    if waiting:
        lines = [f"  {reason}  [{', '.join(names)}]" for reason, names in waiting.items()]
        raise DataError("\n".join([f"{run.name} needs files that are not there yet:", *lines]))


def _missing(info: SourceInfo, data_folder: Path) -> Iterator[str]:
    checks: list[Callable[[], object]] = [package.folder for package in info.packages]
    checks += [lambda archive=archive: archive.check(data_folder) for archive in info.archives]
    found = [reason for check in checks if (reason := _reason(check))]
    if not found and (reason := info.missing(data_folder)):
        found = [reason]
    yield from found


def _reason(check: Callable[[], object]) -> str | None:
    try:
        check()
    except DataError as error:
        return str(error)
    return None
