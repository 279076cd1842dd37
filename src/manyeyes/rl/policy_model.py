"""`PolicyModel`: what the loop needs of a model that it trains; `K25` is one, and so is `HuggingFaceModel`.

    embed, encode, language_model.model    packed rows to hidden states (`BackboneOutput`)
    head_weight                            hidden states to log-probabilities, in pieces
    config.text                            how many experts a token is sent to, for records of it
    parameters, state_dict                 what is stepped, saved and published

Report: none (engineering). Shapes: B rows, T positions, D width, V vocabulary, M media tokens, L layers, E experts.
"""

from collections.abc import Iterator
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from manyeyes.model.backbone import BackboneOutput
from manyeyes.model.moonvit3d import MediaBatch


class Routed(Protocol):
    """How tokens are sent to experts; a dense model has no mixture layers."""

    @property
    def n_moe_layers(self) -> int:
        """Mixture layers."""
        ...

    @property
    def num_experts_per_tok(self) -> int:
        """Experts a token, in each of them."""
        ...

    @property
    def n_routed_experts(self) -> int:
        """Experts to choose from."""
        ...


class PolicyConfig(Protocol):
    """The part of a model's configuration that the loop reads."""

    @property
    def text(self) -> Routed:
        """Of the language model."""
        ...


class PolicyBackbone(Protocol):
    """Layers over embedded rows; see `Backbone.forward` for what it is called with."""

    def __call__(self, *args: Any, **given: Any) -> BackboneOutput:
        """Hidden states, and what was observed on the way."""
        ...

    def update_router_bias(self, counts_LE: Tensor, rate: float) -> None:
        """Loss-free balancing, where there are experts."""
        ...


class PolicyLanguage(Protocol):
    """The language model, which may be frozen as a whole."""

    @property
    def model(self) -> PolicyBackbone:
        """Its layers."""
        ...

    def parameters(self) -> Iterator[nn.Parameter]:
        """All of its weights."""
        ...


class PolicyModel(Protocol):
    """See the module."""

    @property
    def config(self) -> PolicyConfig:
        """See `PolicyConfig`."""
        ...

    @property
    def language_model(self) -> PolicyLanguage:
        """See `PolicyLanguage`."""
        ...

    @property
    def compute_dtype(self) -> torch.dtype:
        """Of activations."""
        ...

    @property
    def head_weight(self) -> Tensor:
        """[V, D], the output layer's."""
        ...

    def __call__(self, *args: Any, **given: Any) -> BackboneOutput:
        """Ids to hidden states; see `K25.forward`."""
        ...

    def encode(self, media: MediaBatch) -> Tensor:
        """Features of media, [M, D]."""
        ...

    def embed(self, ids_BT: Tensor, features_MD: Tensor | None = None) -> Tensor:
        """[B, T, D]."""
        ...

    def parameters(self) -> Iterator[nn.Parameter]:
        """All weights."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """All tensors by name."""
        ...
