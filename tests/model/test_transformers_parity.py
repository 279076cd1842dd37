"""The same weights give the same numbers in transformers: text, vision, whole model, video chunks."""

import random

import pytest
import torch
from torch import Tensor

from manyeyes.core.media import Grid, MediaRules
from manyeyes.core.seeds import torch_seed
from manyeyes.model.config import ModelConfig, TextConfig, VisionConfig, YarnConfig
from manyeyes.model.moonvit3d import MediaBatch
from manyeyes.model.multimodal import K25, build

from .transformers_peer import peer_names, peer_of

TOLERANCE = 1e-4
SEEDS = range(6)


def random_config(seed: int) -> ModelConfig:
    """A small architecture with every size drawn at random; transformers knows only square position tables."""
    draw = random.Random(seed)
    heads, table, patch = draw.choice([1, 2, 3, 4]), draw.choice([6, 8, 11]), draw.choice([4, 6, 14])
    nope, rope = draw.choice([16, 24, 32]), draw.choice([8, 16])
    experts = draw.choice([4, 6, 8])
    layers = draw.choice([2, 3, 4])
    text = TextConfig(
        vocab_size=draw.choice([300, 411]),
        hidden_size=draw.choice([48, 64, 80]),
        num_hidden_layers=layers,
        first_k_dense_replace=draw.randint(0, layers - 1),
        intermediate_size=draw.choice([96, 112]),
        num_attention_heads=heads,
        q_lora_rank=draw.choice([24, 32, None]),
        kv_lora_rank=draw.choice([16, 24]),
        qk_nope_head_dim=nope,
        qk_rope_head_dim=rope,
        v_head_dim=draw.choice([8, 16, 24]),
        n_routed_experts=experts,
        n_shared_experts=draw.choice([1, 2]),
        num_experts_per_tok=draw.randint(1, experts - 1),
        moe_intermediate_size=draw.choice([24, 32]),
        routed_scaling_factor=draw.uniform(1, 3),
        rope_theta=draw.choice([10000.0, 50000.0]),
        rope_scaling=draw.choice([None, YarnConfig(64.0, 64), YarnConfig(4.0, 32, mscale=0.7)]),
        max_position_embeddings=512,
    )
    vision_heads = draw.choice([2, 3])
    vision = VisionConfig(
        patch_size=patch,
        init_pos_emb_height=table,
        init_pos_emb_width=table,
        vt_hidden_size=vision_heads * draw.choice([8, 12, 24]),
        vt_num_hidden_layers=draw.choice([2, 3]),
        vt_num_attention_heads=vision_heads,
        vt_intermediate_size=draw.choice([64, 76]),
    )
    return ModelConfig(text, vision, MediaRules(patch_size=patch))


@torch.no_grad()
def random_model(config: ModelConfig, *, seed: int) -> K25:
    """Every tensor random, norms and router bias included, and large enough that mistakes show."""
    model = build(config, seed=seed)
    generator = torch.Generator().manual_seed(torch_seed(seed, "test/parity"))
    for tensor in [*model.parameters(), *model.buffers()]:
        noise = torch.randn(tensor.shape, generator=generator)
        tensor.copy_(1 + 0.2 * noise if tensor.ndim == 1 else noise * tensor.shape[-1] ** -0.5)
    return model


def random_ids(config: ModelConfig, shape: tuple[int, int], *, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(torch_seed(seed, "test/ids"))
    return torch.randint(0, config.bos_token_id, shape, generator=generator)


def random_patches(config: ModelConfig, grids: tuple[Grid, ...], *, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(torch_seed(seed, "test/patches"))
    side = config.vision.patch_size
    return torch.rand(sum(g.patches for g in grids), 3, side, side, generator=generator) * 2 - 1


def difference(a: Tensor, b: Tensor) -> float:
    assert a.shape == b.shape
    return float((a - b).abs().max())


@pytest.mark.parametrize("seed", SEEDS)
@torch.no_grad()
def test_text_logits(seed: int) -> None:
    model = random_model(random_config(seed), seed=seed)
    ids = random_ids(model.config, (2, 67), seed=seed)
    ours = model.logits(model(ids).hidden_BTD)
    theirs = peer_of(model)(input_ids=ids).logits
    assert ours.abs().max() > 0.5
    assert difference(ours, theirs) <= TOLERANCE


@pytest.mark.parametrize("seed", SEEDS)
@torch.no_grad()
def test_image_features(seed: int) -> None:
    model = random_model(random_config(seed), seed=seed)
    side = model.config.vision.init_pos_emb_height // 2 * 2
    grids = (Grid(1, side, side), Grid(1, 2, 2), Grid(1, 4, 10), Grid(1, 18, 6), Grid(1, 4, 10))
    patches = random_patches(model.config, grids, seed=seed)
    ours = model.encode(MediaBatch(patches, grids))
    peer = peer_of(model)
    tower = peer.model.vision_tower(patches, torch.tensor(grids))
    theirs = peer.model.mm_projector(tower.pooler_output).squeeze(1)
    assert difference(ours, theirs) <= TOLERANCE


@torch.no_grad()
def quiet(model: K25) -> K25:
    """The same model with vision features so small that each norm's epsilon weighs as much as their variance."""
    loud = ("patch_embed", ".wo.", ".fc1.", "final_layernorm")
    for name, parameter in model.vision_tower.named_parameters():
        if any(part in f".{name}" for part in loud):
            parameter.mul_(2e-3)
    return model


@pytest.mark.parametrize("seed", SEEDS)
@torch.no_grad()
def test_image_features_of_quiet_activations(seed: int) -> None:
    model = quiet(random_model(random_config(seed), seed=seed))
    grids = (Grid(1, 4, 10), Grid(1, 18, 6))
    patches = random_patches(model.config, grids, seed=seed)
    peer = peer_of(model)
    tower = peer.model.vision_tower(patches, torch.tensor(grids))
    theirs = peer.model.mm_projector(tower.pooler_output).squeeze(1)
    ours = model.encode(MediaBatch(patches, grids))
    assert ours.abs().max() > 0.5 and difference(ours, theirs) <= TOLERANCE


@pytest.mark.parametrize("frames", [2, 3, 4])
@pytest.mark.parametrize("seed", SEEDS)
@torch.no_grad()
def test_video_chunks(seed: int, frames: int) -> None:
    model = random_model(random_config(seed), seed=seed)
    grids = (Grid(frames, 4, 6), Grid(frames, 8, 2))
    patches = random_patches(model.config, grids, seed=seed)
    ours = model.encode(MediaBatch(patches, grids))
    peer = peer_of(model)
    tower = peer.model.vision_tower(patches, torch.tensor(grids))
    theirs = peer.model.mm_projector(tower.pooler_output).squeeze(1)
    assert difference(ours, theirs) <= TOLERANCE


@pytest.mark.parametrize("seed", SEEDS)
@torch.no_grad()
def test_whole_model_with_images(seed: int) -> None:
    model = random_model(random_config(seed), seed=seed)
    grids = (Grid(1, 4, 6), Grid(1, 2, 8))
    patches = random_patches(model.config, grids, seed=seed)
    ids = random_ids(model.config, (2, 31), seed=seed)
    ids[0, 3:9] = ids[1, 11:15] = model.config.media_placeholder_token_id
    ours = model.logits(model(ids, media=MediaBatch(patches, grids)).hidden_BTD)
    theirs = peer_of(model)(input_ids=ids, pixel_values=patches, image_grid_thw=torch.tensor(grids)).logits
    assert difference(ours, theirs) <= TOLERANCE


@pytest.mark.parametrize("seed", SEEDS)
def test_gradients_equal_transformers(seed: int) -> None:
    """Of every parameter: both towers, projector, router, experts; with images of two sizes."""
    model = random_model(random_config(seed), seed=seed)
    grids = (Grid(1, 4, 6), Grid(1, 2, 8))
    patches, ids = random_patches(model.config, grids, seed=seed), random_ids(model.config, (2, 40), seed=seed)
    ids[0, 3:9] = ids[1, 11:15] = model.config.media_placeholder_token_id
    peer = peer_of(model).requires_grad_(True)
    logits = (
        model.logits(model(ids, media=MediaBatch(patches, grids)).hidden_BTD),
        peer(input_ids=ids, pixel_values=patches, image_grid_thw=torch.tensor(grids)).logits,
    )
    for part in logits:
        torch.nn.functional.cross_entropy(part[:, :-1].flatten(0, 1), ids[:, 1:].flatten()).backward()
    ours = peer_names({n: p.grad for n, p in model.named_parameters() if p.grad is not None}, model.config)
    theirs = {name: p.grad for name, p in peer.named_parameters() if p.grad is not None}
    assert ours.keys() == theirs.keys() == dict(peer.named_parameters()).keys()
    for name, mine in ours.items():
        assert difference(mine, theirs[name]) <= 1e-4 * float(theirs[name].abs().max()) + 1e-7, name
