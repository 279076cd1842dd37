"""The same weights say the same in transformers' `generate`: text and pictures, greedy, alone and in a batch."""

import dataclasses

import numpy as np
import pytest
import torch

from manyeyes.core.sampler import SampleRequest, SamplingParams
from manyeyes.inference.engine import Engine
from manyeyes.inference.engine_config import EngineConfig
from manyeyes.model.checkpoint import load_model, save
from manyeyes.model.moonvit3d import normalised

from ..model.transformers_peer import kimi_module, peer_of
from .small_model import SQUARE, TALL, asked, finished, small_config, small_model, sure

PAD = small_config().media_placeholder_token_id
GREEDY = SamplingParams(max_new_tokens=24, never=frozenset({PAD}))
CONFIG = EngineConfig(cache_tokens=4096, max_rows=16, step_tokens=512)


@pytest.fixture(scope="module")
def pair():
    model = small_model(seed=4)
    with torch.no_grad():  # a clear favourite at most steps
        model.head_weight.mul_(4)
        model.head_weight[PAD] = 0
    return model, peer_of(model)


def peer_says(peer, request: SampleRequest) -> tuple[list[int], torch.Tensor]:
    """Ids, and log-probabilities [n, V] of the plain softmax."""
    ids = torch.from_numpy(request.ids.astype(np.int64))[None]
    given = {}
    if request.media:
        patches = torch.cat([torch.from_numpy(item.patches) for item in request.media])
        given["pixel_values"] = normalised(patches, torch.float32)
        given["image_grid_thw"] = torch.tensor([item.grid for item in request.media])
    out = peer.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=24, eos_token_id=None,
        pad_token_id=0, output_logits=True, return_dict_in_generate=True, **given,
    )  # fmt: skip
    logits = torch.cat(out.logits)
    logits[:, PAD] = -torch.inf
    return out.sequences[0, ids.shape[1] :].tolist(), logits.log_softmax(-1)


@pytest.mark.parametrize("together", [False, True], ids=["alone", "together"])
@pytest.mark.parametrize("grids", [(), (SQUARE,), (TALL, SQUARE)], ids=["text", "picture", "pictures"])
@torch.no_grad()
def test_generate_says_the_same(pair, grids, together: bool) -> None:
    model, peer = pair
    rng = np.random.default_rng(7)
    requests = [asked(rng, *grids, words=words, params=GREEDY) for words in (3, 30, 90)]
    engine = Engine(model, CONFIG if together else dataclasses.replace(CONFIG, max_rows=1))
    for request, found in zip(requests, finished(engine, requests), strict=True):
        theirs, log_p = peer_says(peer, request)
        certain = sure(model, request, found.ids)
        assert certain >= 12 and found.ids[:certain] == theirs[:certain]
        picked = log_p.gather(1, torch.tensor(found.ids)[:, None])[:certain, 0]
        np.testing.assert_allclose(found.logprobs[:certain], picked, atol=1e-4)


@torch.no_grad()
def test_an_exported_folder_says_the_same_in_both(pair, tmp_path) -> None:
    """Each reads the files by itself: text and pictures, ids and log-probabilities."""
    model, _ = pair
    save(model, tmp_path / "model", model.config, dtype=torch.float32, max_shard_bytes=200_000)
    theirs, report = kimi_module().Kimi_K25ForConditionalGeneration.from_pretrained(
        tmp_path / "model", dtype=torch.float32, output_loading_info=True
    )
    assert not report["missing_keys"] and not report["unexpected_keys"] and not report["mismatched_keys"]
    theirs.eval().set_attn_implementation("eager")
    ours, rng = load_model(tmp_path / "model"), np.random.default_rng(3)
    requests = [asked(rng, *grids, words=20, params=GREEDY) for grids in ((), (SQUARE,), (TALL, SQUARE))]
    for request, found in zip(requests, finished(Engine(ours, CONFIG), requests), strict=True):
        ids, log_p = peer_says(theirs, request)
        certain = sure(ours, request, found.ids)
        assert certain >= 12 and found.ids[:certain] == ids[:certain]
        picked = log_p.gather(1, torch.tensor(found.ids)[:, None])[:certain, 0]
        np.testing.assert_allclose(found.logprobs[:certain], picked, atol=1e-4)
