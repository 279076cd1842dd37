"""A system of a few thousand parameters, random samples and stages for it: what the tests of this room train."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from manyeyes.core.media import Grid, Media
from manyeyes.core.runlog import RunFolder
from manyeyes.core.sample import Sample
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.data.loader import Loader
from manyeyes.data.mixture import constant
from manyeyes.data.packing import Batch, pack, pack_all, stack
from manyeyes.data.plan import Planner
from manyeyes.data.shared_beginnings import pack_shared
from manyeyes.model.coca import CocaConfig
from manyeyes.model.config import ModelConfig, tiny
from manyeyes.optim.config import MuonClipConfig
from manyeyes.optim.schedule import Schedule
from manyeyes.train.loop import Trainer
from manyeyes.train.meter import StepReport
from manyeyes.train.stages import LoopConfig, Stage
from manyeyes.train.system import System

CPU = torch.device("cpu")
TOKENIZER = Tokenizer.tiny()


def config(width: int = 32, **text: Any) -> ModelConfig:
    """`tiny`, smaller; weights large enough that mistakes show."""
    base = tiny()
    small: dict[str, Any] = dict(
        hidden_size=width, num_hidden_layers=2, intermediate_size=48, num_attention_heads=2, q_lora_rank=16,
        kv_lora_rank=16, qk_nope_head_dim=8, qk_rope_head_dim=8, v_head_dim=8, n_routed_experts=4,
        moe_intermediate_size=16, initializer_range=0.15,
    )  # fmt: skip
    vision = dataclasses.replace(
        base.vision, vt_hidden_size=16, vt_num_hidden_layers=1, vt_num_attention_heads=2, vt_intermediate_size=32
    )
    return dataclasses.replace(base, text=dataclasses.replace(base.text, **(small | text)), vision=vision)


def system(seed: int = 0, *, align: bool = False, coca: bool = False, **text: Any) -> System:
    """Main model, and the others when asked for."""
    model = config(**text)
    return System.build(
        model, config(16) if align else None, CocaConfig.beside(model) if coca else None, seed=seed, device=CPU
    )


def picture(rng: np.random.Generator) -> Media:
    """Noise of four tokens."""
    grid = Grid(1, 4, 4)
    return Media(rng.integers(0, 256, (grid.patches, 3, 8, 8)).astype(np.uint8), grid)


def sample(rng: np.random.Generator, length: int, *, pictures: int = 0, name: str = "") -> Sample:
    """A document of random ids with pictures of four tokens behind its first token."""
    pads = np.full(4 * pictures, TOKENIZER.media_pad)
    ids = np.concatenate([[TOKENIZER.bos], pads, rng.integers(0, 1700, length - 1)]).astype(np.int32)
    weights = np.concatenate([np.zeros(1 + len(pads)), rng.choice([0.0, 0.5, 1.0], length - 1)]).astype(np.float32)
    return Sample(ids, weights, media=tuple(picture(rng) for _ in range(pictures)), name=name or f"random/{length}")


def batch(seed: int = 0, *, rows: int = 4, row_length: int = 40) -> Batch:
    """Rows of two or three samples, with and without pictures, unevenly filled."""
    rng = np.random.default_rng(seed)
    packs = []
    for row in range(rows):
        samples = [sample(rng, int(rng.integers(4, 9)), pictures=int(rng.integers(0, 2))) for _ in range(1 + row % 3)]
        packs.append(pack(samples, row_length, pad_id=TOKENIZER.pad))
    return stack(packs)


def alike(*, whole: bool) -> Batch:
    """Two groups whose samples begin alike, one of them with a picture: each sample whole, or beginnings shared."""
    rng, groups = np.random.default_rng(0), list[list[Sample]]()
    for pictures in (0, 1):
        prompt = sample(rng, 20, pictures=pictures)
        answers = [rng.integers(0, 1700, 3).astype(np.int32) for _ in range(3)]
        weights = np.append(np.zeros(prompt.length, np.float32), np.ones(3, np.float32))
        groups.append([
            Sample(np.append(prompt.ids, answer), weights, prompt.media, f"t/{pictures}/{number}#0")
            for number, answer in enumerate(answers)
        ])  # fmt: skip
    if whole:
        return stack(pack_all([one for group in groups for one in group], 96, pad_id=TOKENIZER.pad))
    return stack(pack_shared(groups, 96, pad_id=TOKENIZER.pad, media_pad=TOKENIZER.media_pad))


class RandomSource:
    """A source of random samples; a vision source shows one picture in each, with words behind it."""

    def __init__(self, name: str, domain: str = "text", *, size: int = 50, words: int = 6) -> None:
        self.name, self.domain, self._size, self._words = name, domain, size, words

    def __len__(self) -> int:
        return self._size

    def length(self, index: int, epoch: int) -> int:
        pictures = int(self.domain == "vision")
        return 6 * pictures + 1 + self._words + index % 3

    def sample(self, index: int, epoch: int) -> Sample:
        rng = np.random.default_rng([index, epoch, len(self.name)])
        ids, media = [TOKENIZER.bos], ()
        if self.domain == "vision":
            begin, pad, end = TOKENIZER.media_begin, TOKENIZER.media_pad, TOKENIZER.media_end
            ids, media = [*ids, begin, pad, pad, pad, pad, end], (picture(rng),)
        quiet = len(ids)
        ids = np.array([*ids, *rng.integers(0, 1700, self._words + index % 3)], np.int32)
        weights = (np.arange(len(ids)) >= quiet).astype(np.float32)
        return Sample(ids, weights, media=media, name=f"{self.name}/{epoch}/{index}")


SOURCES = {"words": RandomSource("words"), "pictures": RandomSource("pictures", "vision")}


def stage(name: str = "joint", **settings: Any) -> Stage:
    """A stage of three steps of two rows, half of it vision."""
    defaults: dict[str, Any] = dict(
        name=name, objective="language", trainable=("vision_tower", "mm_projector", "language_model"), steps=3,
        row_length=32, rows=2, micro_rows=1, mixture=constant(0.5, weights={"words": 1.0, "pictures": 1.0}),
        schedule=Schedule(peak=5e-3, decay=0.0),
    )  # fmt: skip
    return Stage(**(defaults | settings))


def open_loader(stage: Stage, state: Mapping[str, Any] | None) -> Loader:
    """A stage's loader without threads."""
    sources = [SOURCES[name] for name in stage.sources]
    settings: dict[str, Any] = dict(row_length=stage.row_length, seed=7, window=4)
    if state is None:
        planner = Planner(sources, stage.mixture, **settings)
    else:
        planner = Planner.from_state(state, sources, stage.mixture, **settings)
    return Loader(planner, rows_per_batch=stage.rows, pad_id=TOKENIZER.pad, workers=0)


def trainer(
    networks: System,
    stages: tuple[Stage, ...],
    path: Path,
    *,
    report: Callable[[StepReport], None] = lambda step: None,
    fingerprint: str = "one",
    checkpoint_every: int = 1000,
    **optimizer: Any,
) -> Trainer:
    """A trainer in a run folder that is made when it is not there."""
    folder = RunFolder.open(path) if (path / "config.json").exists() else RunFolder.create(path, {})
    return Trainer(
        networks, stages, config=LoopConfig(MuonClipConfig(**optimizer), checkpoint_every=checkpoint_every), seed=3,
        folder=folder, tokenizer=TOKENIZER, open_loader=open_loader, evaluate=no_figures, report=report, device=CPU,
        peak=1e12, fingerprint=fingerprint,
    )  # fmt: skip


def no_figures(system: System, stage: Stage, *, run_step: int, final: bool) -> dict[str, Any]:
    """Evaluates nothing."""
    return {}


def never() -> bool:
    """No stop request."""
    return False


def copies(networks: System) -> dict[str, torch.Tensor]:
    """All tensors as they are now."""
    return {name: tensor.detach().clone() for name, tensor in networks.tensors().items()}
