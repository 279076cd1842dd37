"""MuonClip: who gets which rule, equality with torch's optimisers, state that survives, and clipping through it."""

import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from manyeyes.core.errors import CheckpointError, ConfigError
from manyeyes.optim.config import MuonClipConfig
from manyeyes.optim.muonclip import MuonClip, clip_gradient_norm, clip_targets_of

from . import batched_products

SHAPES = {
    "vision_tower.patch_embed.proj.weight": (8, 3, 2, 2),
    "vision_tower.patch_embed.pos_emb.weight": (4, 4, 8),
    "vision_tower.encoder.blocks.0.wqkv.weight": (24, 8),
    "vision_tower.encoder.blocks.0.wqkv.bias": (24,),
    "vision_tower.encoder.blocks.0.wo.weight": (8, 8),
    "mm_projector.proj.0.weight": (16, 16),
    "mm_projector.pre_norm.weight": (16,),
    "language_model.model.embed_tokens.weight": (32, 8),
    "language_model.model.layers.0.self_attn.q_b_proj.weight": (12, 6),
    "language_model.model.layers.1.mlp.gate.weight": (4, 8),
    "language_model.model.layers.1.mlp.experts.gate_proj": (4, 6, 8),
    "language_model.model.layers.1.mlp.experts.down_proj": (4, 8, 6),
    "language_model.model.layers.1.mlp.shared_experts.up_proj.weight": (6, 8),
    "language_model.model.norm.weight": (8,),
    "language_model.lm_head.weight": (32, 8),
    "coca.image_query": (1, 8),
    "coca.logit_scale": (),
}
BY_MUON = {
    "vision_tower.encoder.blocks.0.wqkv.weight": 3,
    "vision_tower.encoder.blocks.0.wo.weight": 1,
    "mm_projector.proj.0.weight": 1,
    "language_model.model.layers.0.self_attn.q_b_proj.weight": 1,
    "language_model.model.layers.1.mlp.gate.weight": 1,
    "language_model.model.layers.1.mlp.experts.gate_proj": 1,
    "language_model.model.layers.1.mlp.experts.down_proj": 1,
    "language_model.model.layers.1.mlp.shared_experts.up_proj.weight": 1,
}


def draws(shape, seed):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def network(names=SHAPES):
    return {name: nn.Parameter(draws(SHAPES[name], i)) for i, name in enumerate(SHAPES) if name in names}


def optimizer_of(params, **settings):
    optimizer = MuonClip.from_named_parameters(params.items(), MuonClipConfig(**settings))
    optimizer.set_learning_rate(0.01)
    return optimizer


def train(optimizer, params, *steps):
    for step in steps:
        for i, param in enumerate(params.values()):
            param.grad = draws(param.shape, 1000 * (step + 1) + i)
        optimizer.step()


def rules(optimizer):
    return {name: group for group in optimizer.param_groups for name in group["param_names"]}


def same(left, right):
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def test_every_parameter_gets_the_rule_of_its_name_and_shape():
    found = rules(optimizer_of(network()))
    assert {name: g["split"] for name, g in found.items() if g["kind"] == "muon"} == BY_MUON
    assert found.keys() == SHAPES.keys()
    assert {name for name, g in found.items() if g["weight_decay"] == 0} == {"coca.logit_scale"}


def test_one_step_is_one_step_of_torchs_optimisers():
    params = network()
    theirs, starts = ({n: nn.Parameter(p.detach().clone()) for n, p in params.items()} for _ in range(2))
    whole = [theirs[name] for name, split in BY_MUON.items() if split == 1 and theirs[name].ndim == 2]
    rest = [p for name, p in theirs.items() if name not in BY_MUON and name != "coca.logit_scale"]
    torch_muon = torch.optim.Muon(whole, lr=0.01, adjust_lr_fn="match_rms_adamw")
    torch_adamw = torch.optim.AdamW(rest, lr=0.01, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    ours = optimizer_of(params, ns_dtype="bfloat16")
    for step in range(3):
        train(ours, params, step)
        for i, param in enumerate(theirs.values()):
            param.grad = draws(param.shape, 1000 * (step + 1) + i)
        torch_muon.step()
        torch_adamw.step()
    compared = [n for n, p in theirs.items() if any(p is q for q in (*whole, *rest))]
    assert len(compared) == len(SHAPES) - 4
    for name in compared:
        if name not in BY_MUON or batched_products.as_single((SHAPES[name][0], SHAPES[name][1])):
            assert torch.equal(params[name], theirs[name]), name
        else:
            assert (params[name] - theirs[name]).norm() < 0.02 * (params[name] - starts[name]).norm(), name


def test_frozen_parameters_are_not_taken_and_a_network_without_trainable_ones_is_refused():
    params = network()
    for name, param in params.items():
        param.requires_grad_(name.startswith("mm_projector."))
    assert rules(optimizer_of(params)).keys() == {"mm_projector.proj.0.weight", "mm_projector.pre_norm.weight"}
    with pytest.raises(ConfigError, match="unfreeze"):
        optimizer_of({name: param.requires_grad_(False) for name, param in params.items()})


def test_parameters_without_gradient_are_left_alone():
    params = network()
    optimizer = optimizer_of(params)
    train(optimizer, params, 0)
    idle = ["language_model.model.layers.1.mlp.experts.gate_proj", "language_model.model.norm.weight"]
    for i, (name, param) in enumerate(params.items()):
        param.grad = None if name in idle else draws(param.shape, i)
    before = {name: params[name].detach().clone() for name in idle}
    state = {k: v.clone() for k, v in optimizer.named_state().items() if any(k.startswith(name) for name in idle)}
    optimizer.step()
    assert same({name: params[name] for name in idle}, before)
    assert same({key: optimizer.named_state()[key] for key in state}, state) and state
    optimizer.zero_grad()
    optimizer.step()


def test_learning_rates_are_scaled_by_pattern():
    optimizer = optimizer_of(network(), learning_rates=((r"^vision_tower\.", 0.25), (r"embed_tokens", 2.0)))
    optimizer.set_learning_rate(0.4)
    found = rules(optimizer)
    assert found["vision_tower.encoder.blocks.0.wo.weight"]["lr"] == pytest.approx(0.1)
    assert found["language_model.model.embed_tokens.weight"]["lr"] == pytest.approx(0.8)
    assert found["language_model.lm_head.weight"]["lr"] == pytest.approx(0.4)


def test_state_dict_resumes_bit_for_bit():
    straight, resumed = network(), network()
    optimizer = optimizer_of(straight)
    train(optimizer, straight, 0, 1, 2, 3)
    first = optimizer_of(resumed)
    train(first, resumed, 0, 1)
    saved = first.state_dict()
    second = optimizer_of(resumed)
    second.load_state_dict(saved)
    train(second, resumed, 2, 3)
    assert same(straight, resumed)
    assert same(optimizer.named_state(), second.named_state())


IN_A_FRESH_PROCESS = """
import sys, torch
sys.path.insert(0, sys.argv[2])
from optim.test_muonclip import network, optimizer_of, train
saved = torch.load(sys.argv[1])
params = network()
for name, param in params.items():
    param.data.copy_(saved["weights"][name])
optimizer = optimizer_of(params)
optimizer.load_state_dict(saved["optimizer"])
train(optimizer, params, 2, 3)
torch.save({"weights": {n: p.data for n, p in params.items()}, "state": optimizer.named_state()}, sys.argv[1])
"""


def test_state_dict_resumes_bit_for_bit_in_a_fresh_process(tmp_path, request):
    params = network()
    optimizer = optimizer_of(params)
    train(optimizer, params, 0, 1)
    weights = {name: param.detach().clone() for name, param in params.items()}
    torch.save({"weights": weights, "optimizer": optimizer.state_dict()}, tmp_path / "saved.pt")
    train(optimizer, params, 2, 3)
    command = [sys.executable, "-c", IN_A_FRESH_PROCESS, str(tmp_path / "saved.pt"), str(request.path.parents[1])]
    subprocess.run(command, check=True)
    resumed = torch.load(tmp_path / "saved.pt")
    assert same(resumed["weights"], {name: param.detach() for name, param in params.items()})
    assert same(resumed["state"], optimizer.named_state())


def test_momentum_persists_across_stages_for_parameters_that_persist():
    params = network()
    first = optimizer_of({name: p for name, p in params.items() if not name.startswith("coca.")})
    train(first, params, 0)
    kept = {key: value.clone() for key, value in first.named_state().items()}
    second_stage = {name: p for name, p in params.items() if name.startswith(("mm_projector.", "coca."))}
    second = optimizer_of(second_stage)
    assert second.load_named_state(kept) == 2
    assert same(second.named_state(), {k: v for k, v in kept.items() if k.startswith("mm_projector.")})
    train(second, second_stage, 1)
    assert all(torch.equal(kept[key], value) for key, value in first.named_state().items())


def test_a_state_of_other_parameters_rules_or_shapes_is_refused():
    params = network()
    optimizer = optimizer_of(params)
    train(optimizer, params, 0)
    fewer = {name: p for name, p in params.items() if name != "language_model.lm_head.weight"}
    with pytest.raises(CheckpointError, match="lm_head.weight is only in the checkpoint"):
        optimizer_of(fewer).load_state_dict(optimizer.state_dict())
    with pytest.raises(CheckpointError, match="expected Rule.*wo.weight|wo.weight: expected Rule"):
        optimizer_of(params, adamw=(r"wo\.weight",)).load_state_dict(optimizer.state_dict())
    with pytest.raises(CheckpointError, match="expected state and param_groups"):
        optimizer.load_state_dict({})
    wrong = dict(optimizer.named_state())
    wrong["mm_projector.pre_norm.weight.exp_avg"] = torch.zeros(3)
    with pytest.raises(CheckpointError, match=r"expected shape \[16\], the checkpoint holds \[3\]"):
        optimizer.load_named_state(wrong)
    del wrong["mm_projector.pre_norm.weight.exp_avg"]
    with pytest.raises(CheckpointError, match="adamw expects step, exp_avg, exp_avg_sq"):
        optimizer.load_named_state(wrong)


def test_gradient_clipping_is_torchs_and_returns_the_norm_before():
    ours, theirs = list(network().values()), list(network().values())
    for a, b in zip(ours[1:], theirs[1:], strict=True):
        a.grad, b.grad = torch.ones_like(a), torch.ones_like(b)
    expected = torch.nn.utils.clip_grad_norm_(theirs, 0.5)
    assert clip_gradient_norm(ours, 0.5) == pytest.approx(float(expected))
    for a, b in zip(ours[1:], theirs[1:], strict=True):
        torch.testing.assert_close(a.grad, b.grad)
    kept = [a.grad.clone() for a in ours[1:]]
    clip_gradient_norm(ours, 10.0)
    assert all(torch.equal(a.grad, b) for a, b in zip(ours[1:], kept, strict=True))
    assert clip_gradient_norm([], 1.0) == 0.0
    with pytest.raises(ConfigError, match="above 0"):
        clip_gradient_norm(ours, 0.0)


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.config = SimpleNamespace(num_attention_heads=2, qk_nope_head_dim=3, qk_rope_head_dim=2, v_head_dim=4)
        self.q_b_proj, self.kv_b_proj = nn.Linear(6, 10, bias=False), nn.Linear(5, 14, bias=False)


def test_clip_scales_trained_layers_and_leaves_frozen_ones():
    model = nn.ModuleList([Attention(), nn.Linear(3, 3), Attention()])
    model[0].requires_grad_(False)
    targets = clip_targets_of(model)
    assert [t.q_weight is layer.q_b_proj.weight for t, layer in zip(targets, (model[0], model[2]), strict=True)] == [
        True,
        True,
    ]
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer = MuonClip.from_named_parameters(
        ((f"system.{name}", p) for name, p in model.named_parameters()), MuonClipConfig(), model=model
    )
    assert optimizer.clip(torch.tensor([[400.0, 400.0], [400.0, 50.0]])) == 1
    assert torch.equal(model[0].q_b_proj.weight, before["0.q_b_proj.weight"])
    ratio = model[2].q_b_proj.weight / before["2.q_b_proj.weight"]
    expected = torch.tensor([0.5] * 3 + [0.25] * 2 + [1.0] * 5)[:, None].expand_as(ratio)
    torch.testing.assert_close(ratio.detach(), expected)
    with pytest.raises(ConfigError, match="2 layers"):
        optimizer.clip(torch.ones(3, 2))


@pytest.mark.parametrize(
    "wrong",
    [
        {"weight_decay": -0.1}, {"momentum": 1.0}, {"betas": (0.9, 1.0)}, {"ns_steps": 0}, {"eps": 0.0},
        {"clip_threshold": 0.0}, {"adamw": ("(",)},
    ],
)  # fmt: skip
def test_contradictory_settings_are_refused(wrong):
    with pytest.raises(ConfigError, match="MuonClipConfig"):
        MuonClipConfig(**wrong)


def test_a_matrix_that_cannot_be_split_is_refused():
    with pytest.raises(ConfigError, match="multiple of split=5"):
        optimizer_of(network(["mm_projector.proj.0.weight"]), splits=((r"proj\.0", 5),))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_norm_that_is_not_finite_comes_back_and_scales_nothing(value):
    params = [nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(2))]
    params[0].grad, params[1].grad = torch.tensor([3.0, value, 5.0]), torch.tensor([7.0, 9.0])
    assert not torch.tensor(clip_gradient_norm(params, 1.0)).isfinite()
    assert params[0].grad.tolist()[::2] == [3.0, 5.0] and params[1].grad.tolist() == [7.0, 9.0]
