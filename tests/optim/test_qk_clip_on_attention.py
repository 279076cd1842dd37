"""QK-Clip on the model's own attention: after a step with learning rate 0 each clipped head's largest logit is tau."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from manyeyes.model import packed_attention
from manyeyes.model.attention import Rows
from manyeyes.model.config import YarnConfig, tiny
from manyeyes.model.multimodal import K25, build, default_positions
from manyeyes.model.packed_attention import plan_of
from manyeyes.model.rope import Rope
from manyeyes.model.spans import spans_of
from manyeyes.optim.config import MuonClipConfig
from manyeyes.optim.muonclip import MuonClip

LENGTH, HEADS = 150, 4
SEGMENTS = {
    "whole": torch.zeros(2, LENGTH, dtype=torch.int64),
    "packed": torch.tensor([[0] * 70 + [1] * 80, [2] * 20 + [3] * 130]),
    "padded": torch.tensor([[0] * 70 + [1] * 50 + [-1] * 30, [2] * LENGTH]),
}
EXACT = -1e9
"""A threshold that every head could pass, so that every largest logit is exact."""


def model_of(q_lora_rank: int | None, yarn: YarnConfig | None) -> K25:
    text = replace(tiny().text, q_lora_rank=q_lora_rank, rope_scaling=yarn)
    model = build(replace(tiny(), text=text), seed=3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.0 if parameter.ndim == 1 else 6.0)
    return model


@torch.no_grad()
def largest_LH(model: K25, segments_BT: Tensor, threshold: float) -> Tensor:
    """Of every layer, each given the same fixed input."""
    rope, config = Rope.of(model.config.text), model.config.text
    plan = plan_of(spans_of(segments_BT, rows=2, length=LENGTH), rows=2, length=LENGTH)
    rows = Rows(rope.turns(default_positions(segments_BT, segments_BT)), plan, rope.softmax_scale, threshold)
    x_BTD = 3 * torch.randn(2, LENGTH, config.hidden_size, generator=torch.Generator().manual_seed(0))
    return torch.stack([layer.self_attn(x_BTD, rows).max_logit_H for layer in model.language_model.model.layers])


@pytest.mark.parametrize("segments", SEGMENTS)
@pytest.mark.parametrize("longest_tiled", [0, 100, 1024])
@pytest.mark.parametrize("yarn", [None, YarnConfig(4.0, 64)])
@pytest.mark.parametrize("q_lora_rank", [96, None])
def test_clipped_heads_land_on_tau_and_the_others_keep_every_bit(
    q_lora_rank: int | None,
    yarn: YarnConfig | None,
    longest_tiled: int,
    segments: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(packed_attention, "LONGEST_TILED", longest_tiled)
    model, segments_BT = model_of(q_lora_rank, yarn), SEGMENTS[segments]
    before_LH = largest_LH(model, segments_BT, EXACT)
    tau = float(before_LH.median()) * (1 + 1e-4)  # some heads above, some below, in most layers
    over_LH = before_LH > tau
    optimizer = MuonClip.from_named_parameters(
        model.named_parameters(), MuonClipConfig(clip_threshold=tau), model=model
    )
    optimizer.set_learning_rate(0.0)
    model(torch.arange(20)[None]).hidden_BTD.square().mean().backward()
    weights = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer.step()
    assert optimizer.clip(largest_LH(model, segments_BT, tau)) == int(over_LH.sum())
    assert 0 < int(over_LH.sum()) < over_LH.numel()
    after_LH = largest_LH(model, segments_BT, EXACT)
    torch.testing.assert_close(after_LH[over_LH], torch.full_like(after_LH[over_LH], tau), rtol=1e-5, atol=0)
    assert torch.equal(after_LH[~over_LH], before_LH[~over_LH])
    for name, weight in model.named_parameters():
        if not name.endswith(("q_b_proj.weight", "q_proj.weight", "kv_b_proj.weight")):
            assert torch.equal(weight, weights[name]), name
            continue
        over_H = over_LH[int(name.split(".")[3])]
        now, then = (w.detach().unflatten(0, (HEADS, -1)) for w in (weight, weights[name]))
        assert torch.equal(now[~over_H], then[~over_H])
        assert bool((now != then).flatten(1).any(1)[over_H].all()), name
