"""`Run`: the configuration of a whole training run, as data. Recipes are functions that return one.

A run is written to `config.json` of its folder and read back from there: a resumed run uses what it began with.
"""

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from manyeyes.core.errors import ConfigError
from manyeyes.data.augment import Augmentation
from manyeyes.model.config import ModelConfig
from manyeyes.recipes.fingerprints import fingerprint_of
from manyeyes.train.stages import LoopConfig, Stage, check_ranges

Scorer = Literal["answer", "reading", "count", "boxes", "loss"]


@dataclass(frozen=True, slots=True)
class HeldOut:
    """One held-out set of a recipe.

    Attributes:
        name: what the log calls it; stages list it by this name.
        source: registered source; its test split is asked.
        scorer: how answers are scored.
        records: questions asked at the end of a stage (0: all), or documents for scorer "loss".
        quick: questions asked within a stage (0: all).
        new_tokens: longest answer.
        by_type: also report colour, shape and yes/no questions apart (easy-VQA).
        length: longest document in tokens, for scorer "loss".
    """

    name: str
    source: str
    scorer: Scorer
    records: int = 200
    quick: int = 64
    new_tokens: int = 12
    by_type: bool = False
    length: int = 256

    def __post_init__(self) -> None:
        documents = int(self.scorer == "loss")
        least = {"records": documents, "quick": 0, "new_tokens": 1, "length": 2}
        check_ranges(self, f"held-out set {self.name}", least)


@dataclass(frozen=True, slots=True)
class Run:
    """Everything that determines what a run computes.

    Attributes:
        name: of the recipe.
        about: one line for `manyeyes recipes`.
        hardware: what it needs and how long it takes there.
        model: the model that comes out.
        align: the small language model that the ViT is aligned with; None when no stage uses it.
        stages: what is trained, in order.
        held_out: sets that stages score.
        examples: held-out questions per set that the report shows with pictures.
        seed: of every random stream.
        vocabulary: "tiny" (2,048 entries, ships with the package), "learn" (from the run's own text), or a path to a
            tiktoken file; of a run from scratch.
        start_text: checkpoint folder of a language model to start from, as the report starts from K2; it takes the
            place of the stages that train the language model alone on text, which are skipped (`started`).
        start_vision: checkpoint folder of a ViT to start from, in MoonViT's names or SigLIP's, as the report starts
            from SigLIP.
        start_align: checkpoint folder of the small language model (the report's is Moonlight-16B-A3B); it takes the
            place of the stages that train that model alone. All are "" for a start from scratch.
        start_model: checkpoint folder, or folder of a finished run, that the whole model starts from; `model` and the
            vocabulary are then that checkpoint's (`recipes.starting_model`).
        after: the recipe whose newest finished run the command line starts from, where `start_model` names nothing.
        augmentation: how records are changed in training.
        loop: optimiser, clipping, checkpoints.
    """

    name: str
    about: str
    hardware: str
    model: ModelConfig
    stages: tuple[Stage, ...]
    align: ModelConfig | None = None
    held_out: tuple[HeldOut, ...] = ()
    examples: int = 4
    seed: int = 0
    vocabulary: str = "tiny"
    start_text: str = ""
    start_vision: str = ""
    start_align: str = ""
    start_model: str = ""
    after: str = ""
    augmentation: Augmentation = field(default_factory=Augmentation)
    loop: LoopConfig = field(default_factory=LoopConfig)

    def __post_init__(self) -> None:
        names = [stage.name for stage in self.stages]
        if len(set(names)) != len(names) or not names:
            raise ConfigError(f"a run needs stages of different names, got {names}")
        check_ranges(self, self.name, {"examples": 0})
        if self.start_align and self.align is None:
            raise ConfigError("start_align fills the small language model, but this run has none; set `align`")
        if self.start_model and (self.start_text or self.start_vision):
            raise ConfigError("start_model fills the whole model; leave start_text and start_vision out")
        known = {held_out.name for held_out in self.held_out}
        if len(known) != len(self.held_out):
            raise ConfigError(f"held-out sets need different names, got {[h.name for h in self.held_out]}")
        for stage in self.stages:
            if unknown := set(stage.held_out) - known:
                raise ConfigError(f"stage {stage.name} scores {sorted(unknown)}, but held_out has {sorted(known)}")
            if stage.language == "align" and self.align is None:
                raise ConfigError(f"stage {stage.name} needs the small language model; set `align`")

    @property
    def steps(self) -> int:
        """Optimiser steps of all stages."""
        return sum(stage.steps for stage in self.stages)

    @property
    def replaced(self) -> tuple[str, ...]:
        """Names of the stages whose work a starting checkpoint has done already; see `start_text`, `start_align`."""
        given = {"language_model": self.start_text, "align.language_model": self.start_align}
        before: set[str] = set()
        names: list[str] = []
        for stage in self.stages:
            alone = stage.trainable[0] if len(stage.trainable) == 1 else ""
            if given.get(alone) and alone not in before and stage.text_only:
                names.append(stage.name)
            else:
                before |= set(stage.trainable)
        return tuple(names) if len(names) < len(self.stages) else ()

    def started(self) -> "Run":
        """The run without its `replaced` stages. A run of such stages alone keeps them: it goes on from the checkpoint.

        Example:
            >>> import dataclasses
            >>> from manyeyes.recipes import recipe
            >>> run = dataclasses.replace(recipe("k25"), start_text="Kimi-K2-Base")
            >>> run.replaced, run.started().stages[0].name
            (('text',), 'vit')
        """
        if not (replaced := self.replaced):
            return self
        return dataclasses.replace(self, stages=tuple(s for s in self.stages if s.name not in replaced))

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return msgspec.to_builtins(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Run":
        """Reads `to_json`'s data.

        Raises:
            ConfigError: it was written by another version, or by hand and wrongly.
        """
        try:
            return msgspec.convert(data, type=cls)
        except msgspec.ValidationError as error:
            raise ConfigError(f"config.json is not a run of this version: {error}") from None

    @property
    def fingerprint(self) -> str:
        """Changes with anything that changes what is computed; the descriptions and the checkpoints' cadence do not."""
        return fingerprint_of(self._active())

    @property
    def core_fingerprint(self) -> str:
        """The same without the mixtures, which a resume may change (`execute(change_mixture=True)`)."""
        data = self._active()
        for stage in data["stages"]:
            stage.pop("mixture")
        return fingerprint_of(data)

    def _active(self) -> dict[str, Any]:
        data = self.to_json()
        for passive in ("about", "hardware", "examples", "after"):
            data.pop(passive)
        data["loop"].pop("checkpoint_every")
        return data

    def shortened(self, share: float) -> "Run":
        """The same run with each stage's steps scaled, at least one each (for tests and quick looks)."""
        stages = tuple(dataclasses.replace(s, steps=max(1, round(s.steps * share))) for s in self.stages)
        return dataclasses.replace(self, stages=stages)
