"""Counts the parameters of a configuration or of a checkpoint folder, part by part, in all and active for one token."""

import importlib.util
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NamedTuple

import tyro
from rich.console import Console
from rich.table import Table

from manyeyes.core.errors import CheckpointError, ConfigError
from manyeyes.model import config as presets
from manyeyes.model.checkpoint_folder import read_config, read_contents
from manyeyes.model.config import ModelConfig
from manyeyes.model.parameter_count import ParameterCount, parameter_count
from manyeyes.model.tensor_names import PROJECTOR, VISION, Quantization, Shape, TensorSpec, official_tensors, parameters

PRESETS: dict[str, Callable[[], ModelConfig]] = {
    "k25": presets.k25,
    "moonlight_16b_a3b": presets.moonlight_16b_a3b,
    "small": presets.small,
    "tiny": presets.tiny,
    "tiny_lm": presets.tiny_lm,
    "bench_22m": presets.bench_22m,
}

RELEASE_NOTE = (
    "The report says 1.04T parameters, 32B active. The released configuration and checkpoint hold {total:.4f}T "
    "({text:.4f}T of them text), {active:.1f}B active; no way of counting their tensors gives 1.04T."
)

_PARTS = (
    ("embed_tokens.", "token embedding"),
    ("self_attn.", "attention"),
    (".mlp.experts.", "routed experts"),
    (".mlp.shared_experts.", "shared experts"),
    (".mlp.gate.", "router"),
    (".mlp.", "dense feed-forward"),
    ("lm_head.", "output head"),
    ("norm.", "norms"),
)
"""Piece of a text parameter's name → what the table calls it; the first that fits counts."""


@dataclass(frozen=True)
class Options:
    """What to count."""

    model: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME_OR_FOLDER")] = "k25"
    """A configuration (k25, moonlight_16b_a3b, small, tiny, tiny_lm, bench_22m) or a checkpoint folder."""
    json: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print JSON instead of tables."""


class Part(NamedTuple):
    """One line of the table; `active` is what one text token passes through, None outside the language model."""

    name: str
    total: int
    active: int | None


def main(options: Options) -> int:
    """Print the counts; returns the exit status."""
    config = find_config(options.model)
    parts, count = count_parts(config), parameter_count(config)
    if options.json:
        print(
            json.dumps({"parts": [part._asdict() for part in parts], **count._asdict(), "total": count.total}, indent=2)
        )
        return 0
    console = Console()
    console.print(_table(options.model, parts, count))
    if (config.text, config.vision) == (presets.k25().text, presets.k25().vision):
        console.print(
            RELEASE_NOTE.format(total=count.total / 1e12, text=count.text / 1e12, active=count.active_text / 1e9)
        )
    if options.model in PRESETS:
        for line in (_size(config, "bf16", "none"), _size(config, "INT4 experts", "int4"), _built(config, count)):
            console.print(line, highlight=False)
    else:
        console.print(_stored(Path(options.model)), highlight=False)
    return 0


def find_config(model: str) -> ModelConfig:
    """A configuration by its name, or that of a checkpoint folder.

    Raises:
        ConfigError: neither.
        CheckpointError: the folder is no checkpoint.
    """
    if model in PRESETS:
        return PRESETS[model]()
    if not Path(model).exists():
        raise ConfigError(f"{model!r} is no configuration ({', '.join(PRESETS)}) and no checkpoint folder")
    return read_config(model)


def count_parts(config: ModelConfig) -> list[Part]:
    """Parameters of each part, in the order in which a token meets them.

    Example:
        >>> [part.total for part in count_parts(presets.k25()) if part.name == "routed experts"]
        [1014686023680]
    """
    totals: Counter[str] = Counter()
    for name, shape in parameters(config).items():
        totals[_part(name)] += _elements(shape)
    experts, chosen = config.text.n_routed_experts, config.text.num_experts_per_tok
    active = {name: totals[name] for _, name in _PARTS} | {
        "routed experts": totals["routed experts"] // experts * chosen
    }
    return [Part(name, totals[name], active.get(name)) for name in ("MoonViT-3D", "projector", *(n for _, n in _PARTS))]


def _part(name: str) -> str:
    if name.startswith(VISION):
        return "MoonViT-3D"
    if name.startswith(PROJECTOR):
        return "projector"
    return next(part for piece, part in _PARTS if piece in name)


def _elements(shape: Shape) -> int:
    return TensorSpec("", shape, "U8").n_elements


def _table(title: str, parts: list[Part], count: ParameterCount) -> Table:
    table = Table(title=title)
    table.add_column("part")
    table.add_column("parameters", justify="right")
    table.add_column("active per token", justify="right")
    for part in parts:
        table.add_row(part.name, f"{part.total:,}", "" if part.active is None else f"{part.active:,}")
    table.add_section()
    table.add_row("text", f"{count.text:,}", f"{count.active_text:,}")
    table.add_row("whole model", f"{count.total:,}", "")
    return table


def _size(config: ModelConfig, form: str, quantization: Quantization) -> str:
    try:
        tensors = list(official_tensors(config, quantization=quantization))
    except CheckpointError as error:
        return f"checkpoint, {form}: not possible ({error})"
    return f"checkpoint, {form}: {len(tensors):,} tensors, {sum(t.n_bytes for t in tensors) / 1e9:,.3f} GB"


def _built(config: ModelConfig, count: ParameterCount) -> str:
    if importlib.util.find_spec("torch") is None:
        return "counted by arithmetic; with torch installed the network is also built on the meta device to check it"
    from manyeyes.model.multimodal import build

    built = sum(tensor.numel() for tensor in build(config, device="meta").state_dict().values())
    if built != count.total:
        raise ConfigError(
            f"the network built on the meta device has {built:,} parameters, the count says {count.total:,}"
        )
    return f"the network built on the meta device has the same {built:,} parameters"


def _stored(folder: Path) -> str:
    contents = read_contents(folder).values()
    size = sum(stored.spec.n_bytes for stored in contents)
    types = Counter(stored.spec.dtype for stored in contents)
    files = len({stored.path for stored in contents})
    listing = ", ".join(f"{number:,} {dtype}" for dtype, number in types.most_common())
    return f"stored: {files} file(s), {len(contents):,} tensors ({listing}), {size / 1e9:,.3f} GB"
