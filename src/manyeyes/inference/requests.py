"""From a request to a sequence: everything that could go wrong with it is found here, before it queues.

Report: App. D.
"""

from manyeyes.core.media import Media
from manyeyes.core.sampler import RequestError, SampleRequest, check_ids
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.inference.prefix_cache import MediaSpan, content_key
from manyeyes.inference.sequences import Sequence
from manyeyes.inference.stop_texts import StopTexts
from manyeyes.model.config import ModelConfig


def sequence_of(
    request: SampleRequest,
    number: int,
    *,
    seed: int,
    draw: int,
    model: ModelConfig,
    context: int,
    tokenizer: Tokenizer | None,
    now: float,
) -> Sequence:
    """A request as a sequence that can be scheduled.

    Raises:
        RequestError: ids outside the vocabulary, too long, media that do not fit their tokens, ids that all are left
            out or drawn, stop texts without a tokenizer.
    """
    params = request.params
    check_ids(request.ids, vocab_size=model.text.vocab_size, most=context - 1)
    if not 0 <= request.drawn < len(request.ids):
        raise RequestError(f"drawn counts sampled ids at the end of {len(request.ids):,} ids, got {request.drawn:,}")
    if params.never.issuperset(range(model.text.vocab_size)):
        raise RequestError(f"{len(params.never):,} ids are left out: none of {model.text.vocab_size:,} remains")
    longest = min(context, len(request.ids) + params.max_new_tokens)
    made = Sequence(number, request, seed, draw, longest, now, spans=media_spans(request, model))
    if params.stop_texts:
        made.stop_texts = _stop_texts(request, tokenizer)
    if params.constraint is not None:
        made.constraint = params.constraint()
    return made


def _stop_texts(request: SampleRequest, tokenizer: Tokenizer | None) -> StopTexts:
    if tokenizer is None:
        raise RequestError("stop texts need a tokenizer, and this engine was made without one; give stop_ids instead")
    said = request.ids[len(request.ids) - request.drawn :].tolist() if request.drawn else []
    return StopTexts(request.params.stop_texts, tokenizer, said=said)


def media_spans(request: SampleRequest, model: ModelConfig) -> tuple[MediaSpan, ...]:
    """Where each media item stands in the prompt.

    Raises:
        RequestError: media and `<|media_pad|>` tokens are not equally many, or the model cannot show an item.
    """
    places = (request.ids == model.media_placeholder_token_id).nonzero()[0] if len(request.ids) else []
    shown = sum(item.grid.tokens for item in request.media)
    prompt_places = len(places) - _sampled_pads(request, model)
    if shown != prompt_places:
        raise RequestError(
            f"the prompt has {prompt_places} <|media_pad|> tokens, its {len(request.media)} media fill {shown}"
        )
    spans: list[MediaSpan] = []
    first = 0
    for item in request.media:
        _check_item(item, model)
        last = first + item.grid.tokens
        spans.append(MediaSpan(int(places[first]), int(places[last - 1]) + 1, content_key(item)))
        first = last
    return tuple(spans)


def _sampled_pads(request: SampleRequest, model: ModelConfig) -> int:
    """Pads that an earlier part of the request has sampled: they show nothing."""
    if not request.drawn:
        return 0
    return int((request.ids[-request.drawn :] == model.media_placeholder_token_id).sum())


def _check_item(item: Media, model: ModelConfig) -> None:
    most, side = model.vision.init_pos_emb_time, model.vision.patch_size
    if item.grid.t > most:
        raise RequestError(f"a chunk has {item.grid.t} frames, the model knows {most}; cut clips into chunks")
    if min(item.grid) < 1 or item.grid.h % 2 or item.grid.w % 2:
        raise RequestError(f"a picture has an even number of patches down and across, got {item.grid}")
    if item.patches.shape[-1] != side:
        raise RequestError(f"patches are {item.patches.shape[-1]} pixels wide, the model's are {side}")
