"""Prints the values that life-of-a-token.md quotes: one picture question from bytes on disk to a weight update.

    python docs/token_values.py                   with fresh weights: records, ids, packs, shapes, one step
    python docs/token_values.py --run RUN         also the answer of a finished run to the same question

Everything but --run follows from seed 0, the pinned packages and the settings below, which are like the joint stage of
recipe `tiny` but do not change with it. So it prints the same on every machine up to rounding.
"""

import argparse
import json
import math
from pathlib import Path
from typing import Any

import torch

from manyeyes.core.chat import render
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.data.augment import Augmentation
from manyeyes.data.loader import Loader
from manyeyes.data.mixture import constant
from manyeyes.data.packing import Batch
from manyeyes.data.plan import Entry, Planner
from manyeyes.data.registry import REGISTRY
from manyeyes.data.rendered import messages
from manyeyes.inference.generate import Prompt, generate
from manyeyes.inference.sampling import SamplingParams
from manyeyes.model.checkpoint import load_model
from manyeyes.model.config import tiny
from manyeyes.model.multimodal import K25, build
from manyeyes.optim.config import MuonClipConfig
from manyeyes.optim.muonclip import MuonClip, clip_gradient_norm
from manyeyes.train.batches import MicroBatch, micro_batches
from manyeyes.train.objectives import learn_language

SOURCE = "easy_vqa"
MIXTURE = constant(0.5, weights={SOURCE: 3.0, "synthetic/ocr/digits": 1.0, "maths_document": 1.0, "small_talk": 1.0})
SEED, ROW, ROWS, RATE = 0, 256, 4, 6e-3


def main() -> None:
    """Follow one sample through the rooms, in the order of the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="folder of a finished run")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    config, tokenizer = tiny(), Tokenizer.tiny()
    sources = {
        name: REGISTRY.source(
            name, tokenizer, rules=config.rules, part_length=ROW, seed=SEED, augmentation=Augmentation()
        )
        for name in MIXTURE.segments[0].weights
    }
    planner = Planner(list(sources.values()), MIXTURE, row_length=ROW, seed=SEED, tokenizer=tokenizer.fingerprint)
    start = planner.state()
    packs = planner.take(ROWS)
    entry = next(entry for pack in packs for entry in pack.entries if entry.source == SOURCE)
    for pack in packs:
        print("pack", pack.index, [(e.name, e.length) for e in pack.entries], pack.tokens, "of", ROW)
    print("plan", planner.progress.tokens, "state", len(json.dumps(planner.state())), "bytes")
    show_sample(sources[SOURCE], entry, tokenizer)
    with Loader(planner.at(start), rows_per_batch=ROWS, pad_id=tokenizer.pad, workers=1) as loader:
        batch = next(loader).batch
    print("batch", batch.ids_BT.shape, "media", len(batch.media), "fill", round(batch.fill, 4))
    print("segments", batch.segments_BT[1, ::16].tolist(), "positions", batch.positions_BT[1, ::16].tolist())
    model = build(config, seed=SEED)
    show_shapes(model, next(iter(micro_batches(batch, ROWS, device=torch.device("cpu")))))
    show_step(model, batch)
    if arguments.run:
        show_answer(arguments.run)


def show_sample(source: Any, entry: Entry, tokenizer: Tokenizer) -> None:
    """Record, augmented record, ids, weights, patches."""
    record = source.collection.record(entry.index)
    encoded = record.media[0].encoded or b""
    print("record", record.name, record.media[0], f"{len(encoded)} bytes", encoded[:8].hex(), sorted(record.allowed))
    for number, item in (("stored", record), (f"epoch {entry.epoch}", source.record(entry.index, entry.epoch))):
        print(number, [(turn.role, turn.text) for turn in messages(item)])
    sample = source.sample(entry.index, entry.epoch)
    print("sample", sample.name, "length", sample.length, "weighed", int(sample.weights.sum()))
    print([(int(i), tokenizer.decode([int(i)]), int(w)) for i, w in zip(sample.ids, sample.weights, strict=True)][:46])
    media = sample.media[0]
    print("media", media.grid, "tokens", media.grid.tokens, media.patches.shape, media.patches[0, :, 0, 0].tolist())


def show_shapes(model: K25, part: MicroBatch) -> None:
    """What each room of the model makes of a micro-batch."""
    assert part.media is not None
    with torch.no_grad():
        merged = model.vision_tower(part.media)
        features = model.mm_projector(merged)
        out = model(part.ids_BT, positions_BT=part.positions_BT, segments_BT=part.segments_BT, media=part.media)
    print("patches", tuple(part.media.patches_NCPP.shape), "->", tuple(merged.shape), "->", tuple(features.shape))
    print("hidden", tuple(out.hidden_BTD.shape), "weighed positions", int((part.weights_BT > 0).sum()))


def show_step(model: K25, batch: Batch) -> None:
    """Loss, gradient, update, QK-Clip and the balancing bias of one step from fresh weights."""
    optimizer = MuonClip.from_named_parameters(model.named_parameters(), MuonClipConfig(), model=model)
    print("groups", [(g["kind"], g["split"], len(g["params"])) for g in optimizer.param_groups])
    learned = learn_language(model, batch, micro_rows=ROWS, clip_threshold=100.0, device=torch.device("cpu"))
    print("loss", {k: round(v, 4) for k, v in learned.parts.items()}, "ln V", round(math.log(2048), 4))
    norm = clip_gradient_norm(optimizer.parameters(), 1.0)
    watched = {
        n: p for n, p in model.named_parameters() if n.endswith(("layers.1.self_attn.o_proj.weight", "experts.up_proj"))
    }
    watched = dict(list(watched.items())[:2])
    before = {name: p.detach().clone() for name, p in watched.items()}
    optimizer.set_learning_rate(RATE)
    optimizer.step()
    print("gradient norm", round(norm, 4), "learning rate", RATE)
    for name, old in before.items():
        change = (watched[name].detach() - old).square().mean().sqrt()
        print(
            "update RMS", name, tuple(old.shape), f"{change:.2e}", "over learning rate", round(float(change / RATE), 3)
        )
    logit = learned.max_logit_LH
    if logit is not None and learned.expert_counts_LE is not None:
        print("largest logit", round(float(logit.max()), 4), "heads clipped", optimizer.clip(logit))
        print("tokens per expert, first MoE layer", learned.expert_counts_LE[0].tolist())


def show_answer(folder: Path) -> None:
    """The finished run's answer to a held-out question about such a picture."""
    model, tokenizer = load_model(folder / "model"), Tokenizer.load(folder / "tokenizer.tiktoken")
    record = REGISTRY.open(SOURCE, "test").record(0)
    asked = messages(record)[:1]
    prompt = render(asked, tokenizer, rules=model.config.rules, thinking=False, generation_prompt=True)
    found = generate(
        model, [Prompt(prompt.ids, tuple(v.media() for v in prompt.visuals))],
        params=SamplingParams(max_new_tokens=6), stop_ids=(tokenizer.im_end, tokenizer.eos),
    )[0]  # fmt: skip
    print("question", record.name, asked[0].text, "prompt", prompt.length, "tokens")
    print("answer", found.ids, repr(tokenizer.decode(found.ids, skip_special=True)), "truth", record.truth)
    print("probabilities", [round(math.exp(p), 4) for p in found.logprobs], "stop", found.stop)


if __name__ == "__main__":
    main()
