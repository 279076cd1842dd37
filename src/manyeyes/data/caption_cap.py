"""Rules that sources bring into every mixture: a cap on synthetic captions, and how often a source may be repeated.

    synthetic captions <= share * all captions        (tokens of a segment; captions are sources of kind "caption")

A blend is exact in tokens, so capping weights caps tokens. Synthetic captions above the share are scaled down together;
what they give up goes to all other sources of the domain in proportion. `Blend` applies this whenever shares are
worked out, so that synthetic captions end when the last real one has reached its epoch cap. A source's own epoch cap
holds wherever the mixture names none.

Report: App. B.3 (strict limits on synthetic captions), §4.3 (epoch caps).
"""

import dataclasses
from collections.abc import Iterable, Mapping

from manyeyes.core.errors import ConfigError
from manyeyes.data.mixture import Mixture
from manyeyes.data.source_info import SourceInfo

CAPTION = "caption"


def within_caps(mixture: Mixture, infos: Iterable[SourceInfo]) -> Mixture:
    """The mixture with what its sources, exactly these, say of themselves.

    Raises:
        ConfigError: synthetic captions are to be capped beside real ones, and a segment has no real ones.
    """
    infos = tuple(infos)
    captions = {info.name: info.synthetic for info in infos if info.kind == CAPTION}
    for segment in mixture.segments:
        _require_real(segment.weights, captions, share=mixture.synthetic_captions)
    epochs = {info.name: info.epochs for info in infos if info.epochs is not None}
    return dataclasses.replace(mixture, epochs=epochs | dict(mixture.epochs), captions=captions)


def capped(weights: Mapping[str, float], synthetic: Mapping[str, bool], *, share: float) -> dict[str, float]:
    """Weights under which synthetic captions are at most `share` of all captions.

    Args:
        weights: of sources of any kind; 1 where a caption source is not named.
        synthetic: for each caption source whether it is made by a program; without a real one, all that is made goes.

    Example:
        >>> capped({"photos": 1.0, "drawn": 9.0, "pages": 2.0}, {"photos": False, "drawn": True}, share=0.5)
        {'photos': 1.0, 'drawn': 1.0, 'pages': 2.0}
    """
    made = {name: weights.get(name, 1.0) for name, is_made in synthetic.items() if is_made}
    real = sum(weights.get(name, 1.0) for name, is_made in synthetic.items() if not is_made)
    total = sum(made.values())
    if share >= 1.0 or total <= share * (real + total):
        return dict(weights)
    factor = share * real / ((1.0 - share) * total)
    return dict(weights) | {name: weight * factor for name, weight in made.items()}


def _require_real(weights: Mapping[str, float], synthetic: Mapping[str, bool], *, share: float) -> None:
    shown = {name: weights.get(name, 1.0) > 0.0 for name in synthetic}
    made = sorted(name for name, is_made in synthetic.items() if is_made and shown[name])
    real = any(shown[name] for name, is_made in synthetic.items() if not is_made)
    if share < 1.0 and made and not real:
        raise ConfigError(
            f"synthetic captions may be {share:.0%} of the captions, but {', '.join(made)} stand alone; "
            "add real captions (`kind` caption, not synthetic), or raise synthetic_captions to 1"
        )
