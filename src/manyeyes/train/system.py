"""`System`: all networks of a run. The main model, the small language model for alignment, the CoCa text decoder.

They share one vision tower, so "the ViT is carried over" is not a copy but the same module. Parameters are named by
component ("vision_tower.encoder...", "align.language_model.model..."): checkpoints, optimiser state and
`Stage.trainable` all speak these names.

Report: §4.3 (ViT trained against Moonlight, then a projector to the big model), table 3 (what learns when).
"""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from manyeyes.core.errors import CheckpointError, ConfigError
from manyeyes.model.coca import CocaConfig, CocaText, build_coca
from manyeyes.model.config import ModelConfig
from manyeyes.model.initial_weights import initialise
from manyeyes.model.multimodal import K25, build
from manyeyes.train.stages import Stage


class System:
    """The networks of a run by component name.

    Attributes:
        main: the model that comes out of the run.
        align: the small language model with the same vision tower; None when no stage needs it.
        coca: text side of the ViT stage; None when no stage needs it.
    """

    def __init__(self, main: K25, align: K25 | None, coca: CocaText | None) -> None:
        self.main, self.align, self.coca = main, align, coca
        if align is not None:
            align.vision_tower = main.vision_tower

    @classmethod
    def build(
        cls,
        model: ModelConfig,
        align: ModelConfig | None,
        coca: CocaConfig | None,
        *,
        seed: int,
        device: torch.device,
        compute_dtype: torch.dtype = torch.float32,
    ) -> "System":
        """Freshly initialised networks; each component from its own random stream."""
        return cls(
            build(model, seed=seed, device=device, compute_dtype=compute_dtype),
            None if align is None else build(align, seed=seed + 1, device=device, compute_dtype=compute_dtype),
            None if coca is None else build_coca(coca, seed=seed, device=device),
        )

    @property
    def components(self) -> dict[str, nn.Module]:
        """Every component by the name that stages use."""
        parts: dict[str, nn.Module] = {
            "vision_tower": self.main.vision_tower,
            "mm_projector": self.main.mm_projector,
            "language_model": self.main.language_model,
        }
        if self.align is not None:
            parts["align.mm_projector"] = self.align.mm_projector
            parts["align.language_model"] = self.align.language_model
        if self.coca is not None:
            parts["coca"] = self.coca
        return parts

    def component(self, name: str) -> nn.Module:
        """One component. Raises ConfigError where this run has none of that name."""
        if name not in self.components:
            raise ConfigError(f"this run has no component {name!r}; it has {', '.join(self.components)}")
        return self.components[name]

    def model_of(self, stage: Stage) -> K25:
        """The language model that takes part in a stage."""
        if stage.language == "main":
            return self.main
        if self.align is None:
            raise ConfigError(f"stage {stage.name} needs the small language model; set the run's `align`")
        return self.align

    @property
    def text_decoder(self) -> CocaText:
        """The text side of the ViT stage."""
        if self.coca is None:
            raise ConfigError("a stage with the coca objective needs a text decoder, but this system has none")
        return self.coca

    def named_parameters(self, components: Iterable[str] | None = None) -> Iterator[tuple[str, nn.Parameter]]:
        """Parameters under their full names, of some components or of all."""
        for component in self.components if components is None else components:
            for name, parameter in self.component(component).named_parameters():
                yield f"{component}.{name}", parameter

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor that a checkpoint must hold: parameters and the balancing biases."""
        return {
            f"{component}.{name}": tensor
            for component, module in self.components.items()
            for name, tensor in module.state_dict().items()
        }

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Copy a checkpoint's tensors in.

        Raises:
            CheckpointError: it was made with another configuration.
        """
        own = self.tensors()
        wrong = [n for n in own.keys() & tensors.keys() if own[n].shape != tensors[n].shape]
        for what, names in (("missing", own.keys() - tensors.keys()), ("unknown", tensors.keys() - own.keys())):
            if names:
                raise CheckpointError(_other_config(f"{len(names)} {what} tensors such as {sorted(names)[0]}"))
        if wrong:
            name = sorted(wrong)[0]
            raise CheckpointError(_other_config(f"{name} is {list(tensors[name].shape)}, not {list(own[name].shape)}"))
        with torch.no_grad():
            for name, tensor in own.items():
                tensor.copy_(tensors[name])

    def reset(self, component: str, *, seed: int) -> None:
        """Initialise one component anew, scalars excepted (CoCa's temperature and bias)."""
        std = self.main.config.text.initializer_range
        initialise(self.component(component), std=std, seed=seed, prefix=f"{component}/")

    def train_only(self, components: Iterable[str]) -> None:
        """Let these components learn and freeze all others; gradients left over from before are dropped."""
        learning = [self.component(name) for name in components]
        for module in self.components.values():
            module.requires_grad_(module in learning)
            module.zero_grad(set_to_none=True)


def _other_config(detail: str) -> str:
    return f"the checkpoint is of another configuration: {detail}. Use the run's own settings, or start with --fresh"
