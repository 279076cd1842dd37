"""Prints the values that life-of-a-token.md quotes: one picture question from bytes on disk to a weight update.

    python docs/token_values.py                   with fresh weights: records, ids, packs, shapes, one step
    python docs/token_values.py --run RUN         also the answer of a finished run to the same question

Everything but --run follows from seed 0 and the pinned packages, so it prints the same on every machine up to rounding.
"""

import argparse
import math
from pathlib import Path

import torch

from manyeyes.core.chat import render
from manyeyes.core.seeds import key
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.data.loader import Loader
from manyeyes.data.plan import Planner
from manyeyes.data.registry import REGISTRY
from manyeyes.data.rendered import messages
from manyeyes.inference.generate import Prompt, generate
from manyeyes.inference.sampling import SamplingParams
from manyeyes.model.checkpoint import load_model
from manyeyes.model.multimodal import K25, build
from manyeyes.optim.muonclip import MuonClip, clip_gradient_norm
from manyeyes.recipes.tiny import tiny
from manyeyes.train.batches import micro_batches
from manyeyes.train.objectives import learn_language

SOURCE = "easy_vqa"


def main() -> None:
    """Follow one sample through the rooms, in the order of the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="folder of a finished run")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    run, tokenizer = tiny(), Tokenizer.tiny()
    stage = next(stage for stage in run.stages if stage.name == "joint")
    seed = key(run.seed, f"data/{stage.name}") >> 66
    sources = {
        name: REGISTRY.source(
            name, tokenizer, rules=run.model.rules, part_length=stage.row_length, seed=run.seed,
            augmentation=run.augmentation,
        )
        for name in stage.sources
    }  # fmt: skip
    planner = Planner(
        list(sources.values()), stage.mixture, row_length=stage.row_length, seed=seed, tokenizer=tokenizer.fingerprint
    )
    start = planner.state()
    pack = next(pack for pack in planner if any(entry.source == SOURCE for entry in pack.entries))
    entry = next(entry for entry in pack.entries if entry.source == SOURCE)
    print("pack", pack.index, [(e.name, e.length) for e in pack.entries], pack.tokens, "of", stage.row_length)
    show_sample(sources[SOURCE], entry, tokenizer)
    with Loader(planner.at(start), rows_per_batch=stage.rows, pad_id=tokenizer.pad, workers=1) as loader:
        batches = [next(loader) for _ in range(pack.index // stage.rows + 1)]
    batch = batches[-1].batch
    print("batch", batch.ids_BT.shape, "media", len(batch.media), "fill", round(batch.fill, 4))
    model = build(run.model, seed=run.seed)
    show_shapes(model, next(iter(micro_batches(batch, stage.micro_rows, device=torch.device("cpu")))))
    show_step(model, batch, run, stage)
    if arguments.run:
        show_answer(arguments.run, run)


def show_sample(source, entry, tokenizer: Tokenizer) -> None:
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


def show_shapes(model: K25, part) -> None:
    """What each room of the model makes of a micro-batch."""
    with torch.no_grad():
        merged = model.vision_tower(part.media)
        features = model.mm_projector(merged)
        out = model(part.ids_BT, positions_BT=part.positions_BT, segments_BT=part.segments_BT, media=part.media)
    print("patches", tuple(part.media.patches_NCPP.shape), "->", tuple(merged.shape), "->", tuple(features.shape))
    print("hidden", tuple(out.hidden_BTD.shape), "weighed positions", int((part.weights_BT > 0).sum()))


def show_step(model: K25, batch, run, stage) -> None:
    """Loss, gradient, update, QK-Clip and the balancing bias of one step from fresh weights."""
    optimizer = MuonClip.from_named_parameters(model.named_parameters(), run.loop.optimizer, model=model)
    print("groups", [(g["kind"], g["split"], len(g["params"])) for g in optimizer.param_groups])
    learned = learn_language(
        model, batch, micro_rows=stage.micro_rows, clip_threshold=run.loop.optimizer.clip_threshold,
        device=torch.device("cpu"),
    )  # fmt: skip
    print("loss", {k: round(v, 4) for k, v in learned.parts.items()}, "ln V", round(math.log(2048), 4))
    norm = clip_gradient_norm(optimizer.parameters(), run.loop.gradient_norm)
    watched = {
        n: p for n, p in model.named_parameters() if n.endswith(("layers.1.self_attn.o_proj.weight", "experts.up_proj"))
    }
    watched = dict(list(watched.items())[:2])
    before = {name: p.detach().clone() for name, p in watched.items()}
    rate = stage.schedule.at(stage.steps // 2, stage.steps)
    optimizer.set_learning_rate(rate)
    optimizer.step()
    print("gradient norm", round(norm, 4), "learning rate", rate)
    for name, old in before.items():
        change = (watched[name].detach() - old).square().mean().sqrt()
        print(
            "update RMS", name, tuple(old.shape), f"{change:.2e}", "over learning rate", round(float(change / rate), 3)
        )
    logit = learned.max_logit_LH
    if logit is not None and learned.expert_counts_LE is not None:
        print("largest logit", round(float(logit.max()), 4), "heads clipped", optimizer.clip(logit))
        print("tokens per expert, first MoE layer", learned.expert_counts_LE[0].tolist())


def show_answer(folder: Path, run) -> None:
    """The finished run's answer to a held-out question about such a picture."""
    model, tokenizer = load_model(folder / "model"), Tokenizer.load(folder / "tokenizer.tiktoken")
    record = REGISTRY.open(SOURCE, "test").record(0)
    asked = messages(record)[:1]
    prompt = render(asked, tokenizer, rules=run.model.rules, thinking=False, generation_prompt=True)
    found = generate(
        model, [Prompt(prompt.ids, tuple(v.media() for v in prompt.visuals))],
        params=SamplingParams(max_new_tokens=6), stop_ids=(tokenizer.im_end, tokenizer.eos),
    )[0]  # fmt: skip
    print("question", record.name, asked[0].text, "prompt", prompt.length, "tokens")
    print("answer", found.ids, repr(tokenizer.decode(found.ids, skip_special=True)), "truth", record.truth)
    print("probabilities", [round(math.exp(p), 4) for p in found.logprobs], "stop", found.stop)


if __name__ == "__main__":
    main()
