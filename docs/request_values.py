"""Prints the values that `life-of-a-request.md` shows: one picture question through the engine, beside two others.

python docs/request_values.py
"""

import numpy as np

from manyeyes.core.chat import render
from manyeyes.core.media import Picture
from manyeyes.core.messages import ImagePart, Message, TextPart
from manyeyes.core.sampler import SampleRequest, SamplingParams
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.inference.engine import Engine
from manyeyes.inference.engine_config import EngineConfig
from manyeyes.inference.scheduler import Chunk, StepPlan
from manyeyes.model.config import tiny
from manyeyes.model.multimodal import build


def tables(plan: StepPlan) -> list[list[int]]:
    """The blocks of each chunk's sequence, as they are now."""
    return [list(chunk.sequence.blocks) for chunk in plan.chunks]


def place(chunk: Chunk) -> tuple[int, int, int]:
    """Whose tokens, from where to where."""
    return chunk.sequence.number, chunk.start, chunk.stop


def main() -> None:
    """Three requests, a few steps."""
    model, tokenizer = build(tiny(), seed=0), Tokenizer.tiny()
    engine = Engine(model, EngineConfig(cache_tokens=512, max_rows=8, step_tokens=32), tokenizer=tokenizer)
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    turns = [Message("user", (ImagePart(Picture.of(pixels)), TextPart("what shape is present?")))]
    rendered = render(turns, tokenizer, rules=model.config.rules, thinking=False, generation_prompt=True)
    media = tuple(visual.media() for visual in rendered.visuals)
    params = SamplingParams(max_new_tokens=4, temperature=0.8, seed=7, never=frozenset(range(1792, 2048)))
    question = SampleRequest(rendered.ids, media, params)
    words = SampleRequest(np.array(tokenizer.encode("the sky is"), np.int32), params=params)
    print("prompt", len(question.ids), "tokens, grid", media[0].grid, "->", media[0].grid.tokens)
    print("numbers", engine.add(words), engine.add(question, count=2))
    plans, compute = [], engine._scores
    engine._scores = lambda plan: plans.append((plan, tables(plan))) or compute(plan)
    while engine.busy:
        result = engine.step()
        plan, blocks = plans.pop()
        for (number, start, stop), held in zip(map(place, plan.chunks), blocks, strict=True):
            print(f"  step {engine.figures.steps}  #{number} tokens {start}..{stop}  blocks {held}")
        print(f"    copied {plan.copies}, told", [(t.number, t.token, round(t.logprob, 3)) for t in result.tokens])
        for number, said in result.ended:
            print(
                f"    ended #{number} {tokenizer.decode(said.ids)!r} {said.stop} {said.usage} versions {said.versions}"
            )
    print(engine.figures)


if __name__ == "__main__":
    main()
