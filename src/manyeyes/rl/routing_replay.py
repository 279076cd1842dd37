"""Routing replay: the trainer sends each token to the experts that the sampler sent it to.

    scores   are computed anew, with gradient                 sets   are those that were recorded

A mixture's output jumps where two scores change places, so rounding alone makes trainer and engine disagree on a few
tokens by more than all other rounding together. With the sets held fixed that is gone; the gates go on to learn through
the weights of the replayed experts, and balance is kept by what they would have chosen themselves (`model.moe`).

Report: §4.4.2 (training-inference mismatch); Ma et al., 2025 (rollout routing replay).
Shapes: B rows, T tokens, L mixture layers, K experts a token.
"""

import math

import numpy as np

from manyeyes.core.errors import DataError
from manyeyes.core.trajectory import UNROUTED
from manyeyes.data.packing import Batch
from manyeyes.model.backbone import BackboneOutput
from manyeyes.rl.policy_model import PolicyModel, Routed
from manyeyes.train.batches import MicroBatch


def states(
    model: PolicyModel,
    part: MicroBatch,
    *,
    replay: bool,
    keep_routing: bool = False,
    collect: bool = False,
    clip_threshold: float = math.inf,
) -> BackboneOutput:
    """The model over a micro-batch, routing replayed where it is known; otherwise as `K25.forward`.

    Raises:
        DataError: replay is asked for and nothing was recorded.
    """
    if replay and part.routing_BTLK is None:
        raise DataError(_NOTHING)
    features_MD = None if part.media is None else model.encode(part.media)
    return model.language_model.model(
        model.embed(part.ids_BT, features_MD),
        positions_BT=part.positions_BT,
        segments_BT=part.segments_BT,
        continues_BT=part.continues_BT,
        collect=collect,
        clip_threshold=clip_threshold,
        replay_BTLK=part.routing_BTLK if replay else None,
        keep_routing=keep_routing,
    )


def require_replayable(batch: Batch, config: Routed) -> None:
    """Ask before replaying: what was recorded with another model, or damaged on its way, must not be routed by.

    Raises:
        DataError: nothing was recorded; or of another shape, experts that are not there, or the same one twice.
    """
    routing = batch.routing_BTLK
    if routing is None:
        raise DataError(_NOTHING)
    wanted = (config.n_moe_layers, config.num_experts_per_tok)
    if routing.shape[2:] != wanted:
        raise DataError(
            f"routing must be [mixture layers, experts a token] = {list(wanted)}, got {list(routing.shape[2:])}; it was"
            " recorded with another model"
        )
    known_MK = routing[routing[..., 0] != UNROUTED]
    if len(known_MK) and int(known_MK.max()) >= config.n_routed_experts:
        raise DataError(
            f"routing names expert {known_MK.max()}, and the model has {config.n_routed_experts}; it was recorded with "
            "another model"
        )
    ordered_MK = np.sort(known_MK, -1)
    if bool((ordered_MK[:, 1:] == ordered_MK[:, :-1]).any()):
        raise DataError("routing names an expert twice for one token and layer: it is damaged")


_NOTHING = (
    "routing replay needs the sampler's routing and this batch has none; sample with "
    "SamplingParams(record_routing=True), or train without replay"
)
