"""A step's tokens as vectors: the embedding table, and media features in the places of `<|media_pad|>`.

Report: §4.

Shapes: N tokens of a step, T of a chunk, M media tokens, D width, V vocabulary.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from manyeyes.core.media import Media
from manyeyes.inference.batch import Batch
from manyeyes.inference.media_features import MediaFeatures
from manyeyes.inference.scheduler import Chunk
from manyeyes.model.multimodal import K25


def embedded(batch: Batch, table_VD: Tensor, features: MediaFeatures, model: K25) -> Tensor:
    """[N, D]: pictures of all chunks are encoded together where they were not before."""
    x_ND = F.embedding(batch.id_N, table_VD).to(model.compute_dtype)
    shown = [chunk for chunk in batch.chunks if chunk.sequence.shows_media]
    if not shown:
        return x_ND
    found = features.of(wanted(shown))
    start = 0
    for chunk in batch.chunks:
        if chunk.sequence.shows_media:
            show(chunk, x_ND[start : start + chunk.count], found, pad=model.config.media_placeholder_token_id)
        start += chunk.count
    return x_ND


def wanted(chunks: Sequence[Chunk]) -> dict[bytes, Media]:
    """Each distinct picture of some chunks by its key."""
    return {
        span.content: item
        for chunk in chunks
        for span, item in zip(chunk.sequence.spans, chunk.sequence.request.media, strict=True)
    }


def show(chunk: Chunk, x_TD: Tensor, features: dict[bytes, Tensor], *, pad: int) -> None:
    """Writes features over the embeddings of a chunk's pads; pads that were sampled show nothing."""
    ids = chunk.sequence.ids
    places = [place for place, token in enumerate(ids[chunk.start : chunk.stop]) if token == pad]
    if not places:
        return
    before = ids[: chunk.start].count(pad)
    all_MD = torch.cat([features[span.content] for span in chunk.sequence.spans])
    places = places[: max(0, len(all_MD) - before)]
    x_TD[places] = all_MD[before : before + len(places)].to(x_TD.dtype)
