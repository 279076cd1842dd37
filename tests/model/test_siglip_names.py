"""SigLIP's weights in MoonViT-3D: the same numbers as transformers' own model, and clear refusals."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from manyeyes.core.errors import CheckpointError
from manyeyes.core.media import Grid, MediaRules
from manyeyes.model.checkpoint import save
from manyeyes.model.config import ModelConfig, VisionConfig, tiny
from manyeyes.model.moonvit3d import Group, MoonViT3D, Packed
from manyeyes.model.multimodal import K25, build
from manyeyes.model.siglip_names import is_siglip, load_siglip, siglip_sources
from manyeyes.model.vision_positions import grid_turns

transformers = pytest.importorskip("transformers")
safetensors = pytest.importorskip("safetensors.torch")

SIDE, PATCH, WIDTH = 6, 8, 32
"""The grid and the patch of the small SigLIP, and its width."""


def siglip_config(**change) -> "transformers.SiglipVisionConfig":
    sizes = {
        "hidden_size": WIDTH,
        "intermediate_size": 56,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "image_size": SIDE * PATCH,
        "patch_size": PATCH,
        "layer_norm_eps": 1e-5,  # ours; SigLIP's own 1e-6 is the one difference of the two networks but RoPE
    }
    return transformers.SiglipVisionConfig(**(sizes | change))


def siglip(**change) -> "transformers.SiglipVisionModel":
    torch.manual_seed(0)
    peer = transformers.SiglipVisionModel(siglip_config(**change)).eval()
    with torch.no_grad():
        for parameter in peer.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape))
    return peer


def network(*, table: int = SIDE, **change) -> K25:
    vision = VisionConfig(
        patch_size=PATCH,
        init_pos_emb_height=table,
        init_pos_emb_width=table,
        vt_hidden_size=WIDTH,
        vt_num_hidden_layers=3,
        vt_num_attention_heads=4,
        vt_intermediate_size=56,
    )
    vision = dataclasses.replace(vision, **change)
    rules = MediaRules(patch_size=vision.patch_size, patch_limit_on_one_side=128)
    torch.manual_seed(1)
    return build(ModelConfig(tiny().text, vision, rules))


@pytest.fixture(scope="module")
def peer():
    return siglip()


@pytest.fixture(scope="module")
def folder(peer, tmp_path_factory):
    path = tmp_path_factory.mktemp("siglip")
    peer.save_pretrained(path)
    return path


@pytest.fixture()
def filled(folder) -> K25:
    model = network()
    load_siglip(model, folder)
    return model


def patches_of(pixels_B3HW: Tensor) -> Tensor:
    """[N, 3, P, P], row by row."""
    count, _, height, width = pixels_B3HW.shape
    cut = pixels_B3HW.view(count, 3, height // PATCH, PATCH, width // PATCH, PATCH)
    return cut.permute(0, 2, 4, 1, 3, 5).reshape(-1, 3, PATCH, PATCH)


def without_turns(vit: MoonViT3D, pixels_B3HW: Tensor) -> Tensor:
    """The encoder's output before 2x2 patches are joined, with 2D RoPE turned off: [B, N, D]."""
    count, _, height, width = pixels_B3HW.shape
    groups = (Group(Grid(1, height // PATCH, width // PATCH), count),)
    patches = patches_of(pixels_B3HW)
    turns_NR = torch.ones(len(patches), vit.config.head_dim // 2, dtype=torch.complex64)
    x_ND = vit.encoder(vit.patch_embed(patches, groups), Packed(groups, turns_NR))
    return x_ND.unflatten(0, (count, -1))


@torch.no_grad()
def test_the_encoder_equals_transformers_siglip(peer, filled) -> None:
    pixels = torch.randn(2, 3, SIDE * PATCH, SIDE * PATCH)
    theirs = peer(pixels).last_hidden_state
    ours = without_turns(filled.vision_tower, pixels)
    assert theirs.abs().max() > 1
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


@torch.no_grad()
def test_other_picture_sizes_read_the_table_as_siglip_does(peer, filled) -> None:
    pixels = torch.randn(1, 3, 4 * PATCH, 8 * PATCH)
    theirs = peer(pixels, interpolate_pos_encoding=True).last_hidden_state
    torch.testing.assert_close(without_turns(filled.vision_tower, pixels), theirs, atol=1e-5, rtol=0)


@torch.no_grad()
def test_turns_act_on_the_loaded_weights(filled) -> None:
    """Nothing of the loading turns RoPE off: it acts on SigLIP's weights as on any."""
    pixels = torch.randn(1, 3, 4 * PATCH, 4 * PATCH)
    groups = (Group(Grid(1, 4, 4), 1),)
    vit = filled.vision_tower
    turned = vit.encoder(
        vit.patch_embed(patches_of(pixels), groups),
        Packed(groups, grid_turns(groups[0].grid, vit.config.head_dim, device=pixels.device)),
    )
    assert (turned - without_turns(vit, pixels)[0]).abs().max() > 1e-2


@pytest.mark.parametrize("side", [4, 9, 13])
def test_the_table_is_resized_to_the_size_of_the_model(peer, folder, side) -> None:
    model = network(table=side)
    load_siglip(model, folder)
    table_1DGG = peer.state_dict()["embeddings.position_embedding.weight"].T.view(1, WIDTH, SIDE, SIDE)
    expected = F.interpolate(table_1DGG, size=(side, side), mode="bicubic", align_corners=False)[0].permute(1, 2, 0)
    torch.testing.assert_close(
        model.state_dict()["vision_tower.patch_embed.pos_emb.weight"], expected, atol=1e-5, rtol=1e-5
    )


def test_only_the_vision_tower_is_filled(folder) -> None:
    model = network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    load_siglip(model, folder)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]) == (not name.startswith("vision_tower.")), name


def rewritten(peer, path, change):
    """A folder whose one file holds `change(tensors)`, names as the release has them."""
    tensors = {f"vision_model.{name}": value.clone() for name, value in peer.state_dict().items()}
    safetensors.save_file(change(tensors), path / "model.safetensors")
    return path


def test_a_whole_siglip_model_is_read_and_its_text_tower_left_out(peer, filled, tmp_path) -> None:
    """Names of the release: `vision_model.`, and a text tower, a scale and a bias beside it."""

    def whole(tensors):
        text = {"text_model.embeddings.token_embedding.weight": torch.zeros(9, WIDTH)}
        return tensors | text | {"logit_scale": torch.zeros(1), "logit_bias": torch.zeros(1)}

    path = rewritten(peer, tmp_path, whole)
    assert is_siglip(path)
    model = network()
    load_siglip(model, path)
    expected = filled.vision_tower.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in model.vision_tower.state_dict().items())


def test_transformers_own_whole_model_is_read(tmp_path) -> None:
    text = {"hidden_size": WIDTH, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 8}
    text |= {"vocab_size": 16, "projection_size": WIDTH}
    torch.manual_seed(2)
    config = transformers.SiglipConfig(text_config=text, vision_config=siglip_config().to_dict())
    whole = transformers.SiglipModel(config).eval()
    whole.save_pretrained(tmp_path)
    model = network()
    load_siglip(model, tmp_path)
    with torch.no_grad():
        pixels = torch.randn(1, 3, SIDE * PATCH, SIDE * PATCH)
        theirs = whole.vision_model(pixels).last_hidden_state
        torch.testing.assert_close(without_turns(model.vision_tower, pixels), theirs, atol=1e-5, rtol=0)


def test_the_names_and_shapes_are_those_of_so400m() -> None:
    """The ViT of the release, and SigLIP-SO-400M/14 at 384 pixels (its published sizes), without their weights."""
    with torch.device("meta"):
        peer = transformers.SiglipVisionModel(
            transformers.SiglipVisionConfig(
                hidden_size=1152, intermediate_size=4304, num_hidden_layers=27, num_attention_heads=16,
                patch_size=14, image_size=384,
            )
        )  # fmt: skip
    theirs = {name.removeprefix("vision_model."): tuple(value.shape) for name, value in peer.state_dict().items()}
    sources = list(siglip_sources(build(ModelConfig(tiny().text, VisionConfig()), device="meta")))
    ours = {part: source.shape for source in sources for part in source.parts}
    table = theirs.pop("embeddings.position_embedding.weight")
    assert table == (27 * 27, 1152)
    assert ours == {name: shape for name, shape in theirs.items() if not name.startswith("head.")}
    assert len({source.parameter for source in sources}) == len(sources) == 27 * 12 + 4


Q = "vision_model.encoder.layers.1.self_attn.q_proj.weight"
TABLE = "vision_model.embeddings.position_embedding.weight"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: {k: v for k, v in t.items() if k != Q}, r"lacks tensor encoder\.layers\.1\.self_attn\.q_proj"),
        (lambda t: t | {Q: t[Q][:, :16].contiguous()}, r"q_proj\.weight is \[32, 16\], .* expects \[32, 32\]"),
        (lambda t: t | {Q: t[Q].to(torch.int32)}, "is stored as I32, expected F32 or BF16 or F16"),
        (lambda t: t | {TABLE: t[TABLE][:35].contiguous()}, "has 35 rows; expected a square grid"),
        (lambda t: t | {TABLE: t[TABLE][:, :8].contiguous()}, r"is \[36, 8\], this vision tower expects \[36, 32\]"),
        (lambda t: t | {"vision_model.encoder.layers.3.mlp.fc1.bias": t[Q][0].clone()}, "more layers than this model"),
        (lambda t: t | {"adapter.weight": t[Q].clone()}, r"adapter\.weight: not part of SigLIP"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_changes(peer, tmp_path, change, said) -> None:
    path = rewritten(peer, tmp_path, change)
    model = network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(CheckpointError, match=said) as caught:
        load_siglip(model, path)
    assert "\n" not in str(caught.value)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("ours", "said"),
    [
        ({"vt_num_attention_heads": 2}, "has 4 attention heads in its vision tower, this model 2"),
        ({"patch_size": 4}, r"patch_embedding\.weight is \[32, 3, 8, 8\], .* expects \[32, 3, 4, 4\]"),
        ({"vt_num_hidden_layers": 2}, "more layers than this model"),
        ({"vt_num_hidden_layers": 4}, "lacks 16 tensors .* with 4 layers"),
        ({"vt_intermediate_size": 64}, r"fc1\.weight is \[56, 32\], .* expects \[64, 32\]"),
    ],
)
def test_a_tower_of_other_sizes_is_refused(folder, ours, said) -> None:
    with pytest.raises(CheckpointError, match=said):
        load_siglip(network(**ours), folder)


def test_another_activation_is_refused(tmp_path) -> None:
    siglip(hidden_act="gelu").save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="has hidden_act 'gelu'"):
        load_siglip(network(), tmp_path)


@settings(max_examples=5)
@given(dtype=st.sampled_from([torch.bfloat16, torch.float16]))
def test_half_precision_weights_are_widened(peer, tmp_path_factory, dtype) -> None:
    path = rewritten(peer, tmp_path_factory.mktemp("half"), lambda t: {k: v.to(dtype) for k, v in t.items()})
    model = network()
    load_siglip(model, path)
    stored = peer.state_dict()["post_layernorm.weight"].to(dtype).float()
    assert torch.equal(model.state_dict()["vision_tower.encoder.final_layernorm.weight"], stored)


def test_our_own_checkpoints_are_not_siglip(tmp_path) -> None:
    model = network()
    save(model, tmp_path / "ours", model.config)
    assert not is_siglip(tmp_path / "ours")
