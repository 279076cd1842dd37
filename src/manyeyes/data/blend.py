"""`Blend`: which source the next sample comes from, exact in tokens at every moment.

No dice. With p_s the share of source s and n_s the tokens drawn from it since the shares last changed, next comes
    argmax_s  p_s * sum(n) - n_s          (the largest deficit)
applied twice: first vision or text, then the source within the domain. So |vision - ratio * all| never exceeds one
sample, at any prefix of a segment. A source at its epoch cap leaves its share to the others of its domain. Where shares
change, by plan or by hand at a resume, counting starts anew; what was drawn stays drawn.

Report: §2.1 (constant vision-text ratio), §4.3 (epoch caps), App. C.1 (adjustable ratios).
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from math import inf
from typing import Any

from manyeyes.core.errors import ConfigError, DataError
from manyeyes.data.caption_cap import capped
from manyeyes.data.mixture import Mixture
from manyeyes.data.source import DOMAINS, TEXT, VISION


class Exhausted(DataError):
    """Every source that could be drawn has reached its epoch cap."""


class Balance:
    """Competitors with shares, and the tokens each was given since counting began.

    Example:
        >>> balance = Balance({"a": 3, "b": 1})
        >>> order = []
        >>> for _ in range(8):
        ...     order.append(balance.furthest_behind())
        ...     balance.add(order[-1], 10)
        >>> "".join(order)
        'abaaabaa'
    """

    __slots__ = ("shares", "total", "tokens")

    def __init__(self, weights: Mapping[str, float]) -> None:
        whole = sum(weights.values())
        ranked = sorted((name for name in weights if weights[name] > 0.0), key=lambda name: (-weights[name], name))
        self.shares = {name: weights[name] / whole for name in ranked}
        self.tokens = dict.fromkeys(self.shares, 0)
        self.total = 0

    def furthest_behind(self) -> str:
        """The competitor with the largest deficit; of equals the one with the larger share, then by name."""
        total, tokens = self.total, self.tokens
        chosen, largest = "", -inf
        for name, share in self.shares.items():
            deficit = share * total - tokens[name]
            if deficit > largest:
                chosen, largest = name, deficit
        return chosen

    def add(self, name: str, tokens: int) -> None:
        """Credit tokens to a competitor."""
        self.tokens[name] += tokens
        self.total += tokens

    def state(self) -> list[Any]:
        """[digest of the shares, tokens by competitor]."""
        return [_digest(self.shares), list(self.tokens.values())]

    def restore(self, state: list[Any]) -> None:
        """Continue counting if the shares are those of the state; begin anew if they changed."""
        digest, tokens = state
        if digest == _digest(self.shares):
            self.tokens = dict(zip(self.shares, tokens, strict=True))
            self.total = sum(tokens)


def _digest(shares: Mapping[str, float]) -> str:
    return hashlib.blake2b(json.dumps(list(shares.items())).encode(), digest_size=6).hexdigest()


class Blend:
    """Applies a mixture: says which source is next and keeps the counts. Holds no cursor and no sample.

    Args:
        mixture: the schedule.
        domain_of: domain by source name.
        tokens: drawn so far.
        retired: sources that have reached their cap.

    Raises:
        ConfigError: the mixture names an unknown source, or a segment wants a domain that no source can supply.
    """

    def __init__(
        self, mixture: Mixture, domain_of: Mapping[str, str], *, tokens: int = 0, retired: Iterable[str] = ()
    ) -> None:
        _require_supply(mixture, domain_of)
        self.mixture = mixture
        self.tokens = tokens
        self.retired = set(retired)
        self._domain_of = dict(domain_of)
        self._enter(mixture.segment_at(tokens))

    def choose(self) -> str:
        """Name of the source that the next sample comes from. Changes nothing.

        Raises:
            Exhausted: the sources of the domain whose turn it is are at their caps.
        """
        domain = self._domains.furthest_behind()
        source = self._sources[domain].furthest_behind() if domain else ""
        if not source:
            raise Exhausted(self._used_up(domain))
        return source

    def add(self, source: str, tokens: int) -> None:
        """Credit a drawn sample, and enter the next segment when its time has come."""
        domain = self._domain_of[source]
        self._domains.add(domain, tokens)
        self._sources[domain].add(source, tokens)
        self.tokens += tokens
        if self.tokens >= self._until:
            self._enter(self.mixture.segment_at(self.tokens))

    def retire(self, source: str) -> None:
        """Take a source out that has reached its cap; its domain shares anew among the others."""
        self.retired.add(source)
        domain = self._domain_of[source]
        self._sources[domain] = self._balance_within(domain)
        if self.mixture.finite and not self._sources[domain].shares:
            self._domains = self._balance_of_domains()

    def state(self) -> dict[str, list[Any]]:
        """The counts, as JSON."""
        return {"domains": self._domains.state(), **{d: balance.state() for d, balance in self._sources.items()}}

    def restore(self, state: Mapping[str, list[Any]]) -> None:
        """Take over the counts of a state wherever the shares are still the same."""
        for key, balance in (("domains", self._domains), *self._sources.items()):
            balance.restore(state[key])

    def _enter(self, number: int) -> None:
        segments = self.mixture.segments
        self._segment = segments[number]
        self._until = segments[number + 1].start if number + 1 < len(segments) else inf
        self._sources = {domain: self._balance_within(domain) for domain in DOMAINS}
        self._domains = self._balance_of_domains()

    def _balance_within(self, domain: str) -> Balance:
        names = [name for name, home in self._domain_of.items() if home == domain and name not in self.retired]
        weights = {name: self._segment.weights.get(name, 1.0) for name in names}
        captions = {name: made for name, made in self.mixture.captions.items() if name in weights}
        return Balance(capped(weights, captions, share=self.mixture.synthetic_captions))

    def _balance_of_domains(self) -> Balance:
        shares = {VISION: self._segment.vision, TEXT: 1.0 - self._segment.vision}
        if self.mixture.finite:
            shares = {domain: share for domain, share in shares.items() if self._sources[domain].shares}
        return Balance(shares)

    def _used_up(self, domain: str) -> str:
        names = sorted(n for n in self.retired if not domain or self._domain_of[n] == domain)
        caps = ", ".join(f"{name} ({self.mixture.epochs.get(name)} epochs)" for name in names)
        return (
            f"after {self.tokens} tokens every {domain or 'vision and text'} source is at its epoch cap: {caps}. "
            f"Raise a cap, add a source, or change the vision ratio (now {self._segment.vision})"
        )


def _require_supply(mixture: Mixture, domain_of: Mapping[str, str]) -> None:
    named = {name for segment in mixture.segments for name in segment.weights} | set(mixture.epochs)
    if unknown := sorted(named - set(domain_of)):
        raise ConfigError(f"the mixture names {', '.join(unknown)}, but the sources are {', '.join(sorted(domain_of))}")
    if mixture.finite and (uncapped := sorted(set(domain_of) - set(mixture.epochs))):
        raise ConfigError(f"a finite mixture needs an epoch cap for each source; none for {', '.join(uncapped)}")
    for segment in mixture.segments:
        for domain, share in ((VISION, segment.vision), (TEXT, 1.0 - segment.vision)):
            able = [n for n, home in domain_of.items() if home == domain and segment.weights.get(n, 1.0) > 0.0]
            if share > 0.0 and not able and not mixture.finite:
                raise ConfigError(
                    f"the segment from {segment.start} tokens on wants {share:.0%} {domain}, "
                    f"but no {domain} source has a weight above 0; add one or set vision={float(domain == TEXT):g}"
                )
