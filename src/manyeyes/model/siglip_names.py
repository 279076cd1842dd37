"""A SigLIP checkpoint as the first weights of MoonViT-3D: the same transformer under other names.

    embeddings.patch_embedding                → patch_embed.proj
    embeddings.position_embedding [G², D]     → patch_embed.pos_emb [H, W, D], bicubic from its G x G grid
    layers.i.layer_norm1, layer_norm2         → blocks.i.norm0, norm1
    layers.i.self_attn.{q,k,v}_proj, out_proj → blocks.i.wqkv (rows of q, k, v behind each other), wo
    layers.i.mlp.fc1, fc2; post_layernorm     → blocks.i.mlp.fc0, fc1; final_layernorm

Activation (tanh-GELU) and pixel range (-1..1) are the same. The pooling head, the text tower and the contrastive scale
have no place here and are left out.

Report: §4.2 (MoonViT-3D starts from SigLIP-SO-400M); names: Hugging Face's SiglipModel and SiglipVisionModel. Open
choices: SigLIP turns no queries and keys, MoonViT does (2D RoPE). The weights are taken as they are, without a pairing
of dimensions to look for, and training learns around the turns; the table, which already tells places apart, stays.
LayerNorm's eps is 1e-5 here and 1e-6 in SigLIP.

Shapes: G side of SigLIP's grid, H, W of the learned table, D width.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from manyeyes.core.errors import CheckpointError
from manyeyes.model.checkpoint_folder import CONFIG, StoredTensor, find_checkpoint, listed, read_contents, read_json
from manyeyes.model.config import VisionConfig
from manyeyes.model.multimodal import K25
from manyeyes.model.tensor_names import VISION, Shape, Weight, parameters
from manyeyes.model.vision_positions import table_at
from manyeyes.model.weight_reader import WeightReader

_PREFIX = "vision_model."
_PATCHES, _TABLE = "embeddings.patch_embedding", "embeddings.position_embedding.weight"
_OURS = ("embeddings.", "encoder.", "post_layernorm.")
_LEFT_OUT = ("head.", "text_model.", "logit_scale", "logit_bias", "embeddings.position_ids")
_DTYPES = ("F32", "BF16", "F16")
_HEADS, _ACTIVATION = 12, "gelu_pytorch_tanh"
"""What a SigLIP config.json means where it does not say (`SiglipVisionConfig`)."""

_LAYER = {
    "norm0": ("layer_norm1",),
    "norm1": ("layer_norm2",),
    "wqkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "wo": ("self_attn.out_proj",),
    "mlp.fc0": ("mlp.fc1",),
    "mlp.fc1": ("mlp.fc2",),
}


class Source(NamedTuple):
    """Where one parameter of the vision tower comes from.

    Attributes:
        parameter: its name in our network.
        parts: SigLIP's tensors, rows behind each other.
        shape: of each part.

    Example:
        Source("vision_tower.encoder.blocks.0.wqkv.bias", ("encoder.layers.0.self_attn.q_proj.bias", ...), (1152,))
    """

    parameter: str
    parts: tuple[str, ...]
    shape: Shape


def is_siglip(folder: str | Path) -> bool:
    """Whether a checkpoint folder holds a vision tower in SigLIP's names.

    Raises:
        CheckpointError: it is no checkpoint folder.
    """
    contents = read_contents(folder)
    return any(f"{prefix}{_PATCHES}.weight" in contents for prefix in (_PREFIX, ""))


def load_siglip(model: K25, folder: str | Path) -> None:
    """Fill the vision tower from a SigLIP checkpoint, one tensor at a time; the projector and the rest are left alone.

    Args:
        model: its vision tower must have SigLIP's sizes and patch; the position table may have any size.
        folder: safetensors of a `SiglipModel` or `SiglipVisionModel`.

    Raises:
        CheckpointError: a tensor is missing, unknown or of another shape, or the heads or the activation differ. Then
            nothing was changed.
    """
    folder, vision = find_checkpoint(Path(folder)), model.config.vision
    contents = _siglip_contents(folder)
    _check_config(folder, vision)
    sources = list(siglip_sources(model))
    _check_names(folder, contents, sources)
    for source in sources:
        for part in source.parts:
            _check_tensor(folder, contents[part], source.shape)
    side = _side(folder, contents[_TABLE], vision.vt_hidden_size)
    targets = model.state_dict()
    with WeightReader(folder) as reader:
        for source in sources:
            parts = [_read(reader, contents[part]) for part in source.parts]
            targets[source.parameter].copy_(torch.cat(parts))
        table_GGD = _read(reader, contents[_TABLE]).unflatten(0, (side, side))
        target_HWD = targets[f"{VISION}patch_embed.pos_emb.weight"]
        height, width = target_HWD.shape[:2]
        target_HWD.copy_(table_at(table_GGD, height, width).unflatten(0, (height, width)))


def siglip_sources(model: K25) -> Iterator[Source]:
    """Every parameter of the vision tower but the position table, with SigLIP's names for it."""
    shapes = parameters(model.config)
    pairs = [("patch_embed.proj", (_PATCHES,)), ("encoder.final_layernorm", ("post_layernorm",))]
    for layer in range(model.config.vision.vt_num_hidden_layers):
        pairs += [
            (f"encoder.blocks.{layer}.{ours}", tuple(f"encoder.layers.{layer}.{part}" for part in theirs))
            for ours, theirs in _LAYER.items()
        ]
    for ours, theirs in pairs:
        for kind in ("weight", "bias"):
            parameter = f"{VISION}{ours}.{kind}"
            rows, *columns = shapes[parameter]
            yield Source(parameter, tuple(f"{part}.{kind}" for part in theirs), (rows // len(theirs), *columns))


def _siglip_contents(folder: Path) -> dict[str, StoredTensor]:
    """What the folder holds, without the prefix that only a part of transformers' versions write."""
    return {name.removeprefix(_PREFIX): stored for name, stored in read_contents(folder).items()}


def _check_config(folder: Path, vision: VisionConfig) -> None:
    """Heads and activation leave no trace in the shapes."""
    if not (folder / CONFIG).is_file():
        return
    layout = read_json(folder / CONFIG)
    theirs = layout.get("vision_config", layout)
    heads, activation = theirs.get("num_attention_heads", _HEADS), theirs.get("hidden_act", _ACTIVATION)
    if heads != vision.vt_num_attention_heads:
        raise CheckpointError(
            f"{folder} has {heads} attention heads in its vision tower, this model {vision.vt_num_attention_heads}; "
            f"set model.vision.vt_num_attention_heads={heads}"
        )
    if activation != _ACTIVATION:
        raise CheckpointError(f"{folder} has hidden_act {activation!r}; MoonViT has {_ACTIVATION!r}")


def _check_names(folder: Path, contents: dict[str, StoredTensor], sources: list[Source]) -> None:
    wanted = {part for source in sources for part in source.parts} | {_TABLE}
    if missing := sorted(wanted - contents.keys()):
        raise CheckpointError(
            f"{folder} lacks {listed(missing, 'tensor')} of a SigLIP vision tower with "
            f"{len([name for name in wanted if name.endswith('layer_norm1.weight')])} layers"
        )
    surplus = [name for name in contents if name not in wanted and not name.startswith(_LEFT_OUT)]
    if surplus:
        why = "more layers than this model" if surplus[0].startswith(_OURS) else "not part of SigLIP"
        raise CheckpointError(f"{folder} holds {listed(surplus, 'tensor')}: {why}")


def _check_tensor(folder: Path, stored: StoredTensor, expected: Shape) -> None:
    if stored.spec.shape != expected:
        raise CheckpointError(
            f"{folder}: {stored.spec.name} is {list(stored.spec.shape)}, this vision tower expects {list(expected)}; "
            "give the model SigLIP's sizes (model.vision.*)"
        )
    if stored.spec.dtype not in _DTYPES:
        raise CheckpointError(
            f"{folder}: {stored.spec.name} is stored as {stored.spec.dtype}, expected {' or '.join(_DTYPES)}"
        )


def _side(folder: Path, table: StoredTensor, width: int) -> int:
    """G of a table of G² rows."""
    rows = table.spec.shape[0] if table.spec.shape else 0
    side = math.isqrt(rows)
    if side * side != rows or side == 0:
        raise CheckpointError(
            f"{folder}: {table.spec.name} has {rows} rows; expected a square grid, one row for each patch"
        )
    _check_tensor(folder, table, (rows, width))
    return side


def _read(reader: WeightReader, stored: StoredTensor) -> Tensor:
    name, shape, _ = stored.spec
    return reader.read(Weight(name, shape, name), dtype=torch.float32)
