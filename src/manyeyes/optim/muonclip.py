"""MuonClip: Muon for matrices, AdamW for the rest, QK-Clip behind both; one optimiser whose state has names.

    optimizer = MuonClip.from_named_parameters(model.named_parameters(), config, model=model)
    optimizer.set_learning_rate(schedule.at(step, steps));  optimizer.step();  optimizer.clip(max_logit_LH)

Which rule a parameter gets is decided by `MuonClipConfig` from its name and shape. Frozen parameters get none, and a
parameter without a gradient keeps weight and state. `named_state` outlives the optimiser: a later stage with other
trainable parameters takes from it what persists.

Report: §4.1, §4.3 (state carried over between stages).
"""

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm
from torch.optim.adamw import adamw

from manyeyes.core.errors import CheckpointError, ConfigError
from manyeyes.optim.config import MuonClipConfig
from manyeyes.optim.muon import check_matrix, step_group_
from manyeyes.optim.qk_clip import ClipTarget, clip_

MUON, ADAMW = "muon", "adamw"
STATE_KEYS = {MUON: ("momentum_buffer",), ADAMW: ("step", "exp_avg", "exp_avg_sq")}


class Rule(NamedTuple):
    """What the parameters of one group have in common."""

    kind: str
    split: int
    lr_scale: float
    weight_decay: float

    @classmethod
    def of(cls, name: str, param: Tensor, config: MuonClipConfig) -> "Rule":
        """The rule that the configuration gives a parameter."""
        muon = config.uses_muon(name, tuple(param.shape))
        split = config.split(name) if muon else 1
        if muon:
            check_matrix(param, split)
        return cls(MUON if muon else ADAMW, split, config.learning_rate_scale(name), config.decay(name))


class MuonClip(torch.optim.Optimizer):
    """Muon and AdamW over named parameters, and QK-Clip over MLA layers.

    Args:
        groups: parameter groups with named parameters and the fields of `Rule`; see `from_named_parameters`.
        config: hyper-parameters.
        clip_targets: one for each attention layer of the model, in order.
    """

    def __init__(
        self, groups: Iterable[dict[str, Any]], config: MuonClipConfig, *, clip_targets: Iterable[ClipTarget] = ()
    ) -> None:
        self.config = config
        ns_dtype = None if config.ns_dtype == "auto" else getattr(torch, config.ns_dtype)
        defaults = {
            "lr": 0.0,
            "momentum": config.momentum,
            "nesterov": config.nesterov,
            "ns_steps": config.ns_steps,
            "ns_dtype": ns_dtype,
            "betas": config.betas,
            "eps": config.eps,
        }
        super().__init__(list(groups), defaults)
        self.clip_targets = tuple(clip_targets)

    @classmethod
    def from_named_parameters(
        cls, named: Iterable[tuple[str, nn.Parameter]], config: MuonClipConfig, *, model: nn.Module | None = None
    ) -> Self:
        """Groups the trainable ones among `named` by rule; finds QK-Clip's weights in `model`.

        Raises:
            ConfigError: nothing is trainable, a name comes twice, or a matrix cannot be split as configured.
        """
        trainable = {name: param for name, param in named if param.requires_grad}
        if not trainable:
            raise ConfigError("MuonClip got no trainable parameter; unfreeze at least one component")
        ruled = sorted(((Rule.of(name, p, config), name) for name, p in trainable.items()), key=lambda pair: pair[0])
        groups = [
            {"params": [(name, trainable[name]) for _, name in members], **rule._asdict()}
            for rule, members in groupby(ruled, key=lambda pair: pair[0])
        ]
        return cls(groups, config, clip_targets=() if model is None else clip_targets_of(model))

    def parameters(self) -> list[nn.Parameter]:
        """Every parameter that is stepped."""
        return [param for group in self.param_groups for param in group["params"]]

    def named(self) -> dict[str, nn.Parameter]:
        """Every parameter that is stepped, by name."""
        return {name: p for group in self.param_groups for name, p in _members(group)}

    def set_learning_rate(self, rate: float) -> None:
        """The rate of the next steps, times each group's `lr_scale`."""
        for group in self.param_groups:
            group["lr"] = rate * group["lr_scale"]

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """One update of every parameter that has a gradient."""
        if closure is not None:
            raise ConfigError("MuonClip.step takes no closure: run forward and backward first, then call step()")
        for group in self.param_groups:
            (step_group_ if group["kind"] == MUON else adamw_group_)(group, self.state)

    def clip(self, max_logit_LH: Tensor) -> int:
        """QK-Clip after a step; layers that are not trained are left alone. Returns how many heads were clipped."""
        if len(max_logit_LH) != len(self.clip_targets):
            raise ConfigError(f"QK-Clip has {len(self.clip_targets)} layers but got maxima of {len(max_logit_LH)}")
        stepped = set(map(id, self.parameters()))
        layers = [i for i, t in enumerate(self.clip_targets) if {id(t.q_weight), id(t.kv_weight)} <= stepped]
        targets = [self.clip_targets[i] for i in layers]
        return clip_(targets, max_logit_LH[layers], self.config.clip_threshold) if layers else 0

    def named_state(self) -> dict[str, Tensor]:
        """Momenta as "<parameter>.<key>": the tensors themselves, not copies."""
        return {
            f"{name}.{key}": value
            for group in self.param_groups
            for name, param in _members(group)
            for key, value in self.state.get(param, {}).items()
        }

    def load_named_state(self, saved: Mapping[str, Tensor]) -> int:
        """Copies in what `named_state` gave, for the parameters that persist; others begin anew, unknown names wait.

        Returns:
            The number of parameters whose state was found.

        Raises:
            CheckpointError: a state of another rule or shape than the parameter's, or half a state.
        """
        found = 0
        for group in self.param_groups:
            for name, param in _members(group):
                state = _state_of(name, param, group["kind"], saved)
                if state:
                    self.state[param] = state
                    found += 1
        return found

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores `state_dict()` of an optimiser over the same parameters; the tensors are copied.

        Raises:
            CheckpointError: other parameters, rules or shapes.
        """
        _check_groups(self.param_groups, state_dict)
        order = [name for group in state_dict["param_groups"] for name in group["param_names"]]
        saved = {f"{order[i]}.{key}": value for i, entry in state_dict["state"].items() for key, value in entry.items()}
        self.load_named_state(saved)
        for group, other in zip(self.param_groups, state_dict["param_groups"], strict=True):
            group.update({key: value for key, value in other.items() if key not in ("params", "param_names")})


def clip_targets_of(model: nn.Module) -> tuple[ClipTarget, ...]:
    """QK-Clip's weights of every MLA layer of a model, in order; a layer is known by its `kv_b_proj`."""
    return tuple(_clip_target(layer) for layer in model.modules() if hasattr(layer, "kv_b_proj"))


def _clip_target(attention: Any) -> ClipTarget:
    c = attention.config
    query = attention.q_b_proj if hasattr(attention, "q_b_proj") else attention.q_proj
    return ClipTarget(
        query.weight,
        attention.kv_b_proj.weight,
        n_heads=c.num_attention_heads,
        nope=c.qk_nope_head_dim,
        rope=c.qk_rope_head_dim,
        v_dim=c.v_head_dim,
    )


def clip_gradient_norm(parameters: Iterable[Tensor], max_norm: float) -> float:
    """Scales gradients down to `max_norm` where their global L2 norm is larger; returns the norm before.

    A norm that is not finite comes back as it is, with the gradients as they are: nothing may be stepped with them.

    Raises:
        ConfigError: `max_norm` is not above 0.
    """
    if not max_norm > 0:
        raise ConfigError(f"the gradient norm limit must be above 0, got {max_norm}")
    params = [param for param in parameters if param.grad is not None]
    norm = get_total_norm([param.grad for param in params if param.grad is not None])
    if norm > max_norm and norm.isfinite():
        clip_grads_with_norm_(params, max_norm, norm)
    return float(norm)


def adamw_group_(group: dict[str, Any], state: Any) -> None:
    """torch's AdamW (fused where it can be) on one parameter group."""
    params = [param for param in group["params"] if param.grad is not None]
    for param in params:
        if "exp_avg" not in state[param]:
            state[param]["step"] = torch.zeros((), dtype=torch.float32, device=param.device)
            state[param]["exp_avg"] = torch.zeros_like(param)
            state[param]["exp_avg_sq"] = torch.zeros_like(param)
    adamw(
        params,
        [param.grad for param in params],
        [state[param]["exp_avg"] for param in params],
        [state[param]["exp_avg_sq"] for param in params],
        [],
        [state[param]["step"] for param in params],
        fused=True,
        amsgrad=False,
        beta1=group["betas"][0],
        beta2=group["betas"][1],
        lr=float(group["lr"]),
        weight_decay=group["weight_decay"],
        eps=group["eps"],
        maximize=False,
    )


def _members(group: dict[str, Any]) -> Iterable[tuple[str, nn.Parameter]]:
    return zip(group["param_names"], group["params"], strict=True)


def _state_of(name: str, param: Tensor, kind: str, saved: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A copy of one parameter's saved state; empty where there is none."""
    every_key = [key for keys in STATE_KEYS.values() for key in keys]
    present = [key for key in every_key if f"{name}.{key}" in saved]
    if not present:
        return {}
    if sorted(present) != sorted(STATE_KEYS[kind]):
        raise CheckpointError(
            f"optimiser state of {name}: {kind} expects {', '.join(STATE_KEYS[kind])}, the checkpoint holds "
            f"{', '.join(present)}; load it with the configuration that wrote it"
        )
    return {key: _copied(f"{name}.{key}", saved[f"{name}.{key}"], param, key) for key in STATE_KEYS[kind]}


def _copied(label: str, value: Tensor, param: Tensor, key: str) -> Tensor:
    shape = torch.Size() if key == "step" else param.shape
    if value.shape != shape:
        raise CheckpointError(
            f"optimiser state {label}: expected shape {list(shape)}, the checkpoint holds {list(value.shape)}; "
            "load it into the model that wrote it"
        )
    dtype = torch.float32 if key == "step" else param.dtype
    return value.detach().to(device=param.device, dtype=dtype, copy=True)


def _check_groups(groups: list[dict[str, Any]], state_dict: Mapping[str, Any]) -> None:
    if not {"state", "param_groups"} <= state_dict.keys():
        raise CheckpointError(f"optimiser state: expected state and param_groups, got {sorted(state_dict)}")
    expected = {name: Rule(*(g[f] for f in Rule._fields)) for g in groups for name in g["param_names"]}
    got = {
        name: Rule(*(g.get(f) for f in Rule._fields))
        for g in state_dict["param_groups"]
        for name in g.get("param_names", ())
    }
    for name in sorted(expected.keys() ^ got.keys()):
        where = "this optimiser" if name in expected else "the checkpoint"
        raise CheckpointError(f"optimiser state: {name} is only in {where}; use load_named_state to take what persists")
    for name, rule in expected.items():
        if got[name] != rule:
            raise CheckpointError(f"optimiser state of {name}: expected {rule}, the checkpoint holds {got[name]}")
