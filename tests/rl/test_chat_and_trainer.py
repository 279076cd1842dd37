"""Engine and trainer say the same of the same tokens, by way of the chat format: text, pictures, tools, both modes."""

import asyncio
from collections.abc import Sequence

import numpy as np
import torch

from manyeyes.agent.chat_model import Sampling
from manyeyes.agent.token_chat import TokenChat
from manyeyes.agent.token_chat_reading import out_of_turn
from manyeyes.agent.token_chat_sampled import Sampled
from manyeyes.core.media import Picture
from manyeyes.core.messages import Message, Tool, ToolCall, assistant, tool_result, user
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.core.trajectory import NOBODY, Node, Trajectory
from manyeyes.data.packing import pack_all, stack
from manyeyes.inference.async_engine import AsyncEngine
from manyeyes.inference.engine_config import EngineConfig
from manyeyes.model.config import tiny
from manyeyes.model.multimodal import build
from manyeyes.rl.drawn_from import laid_out, temperature_T
from manyeyes.rl.logprobs import SampledFrom, batch_logprobs
from manyeyes.rl.mismatch import measure_batch

from .rollout_samples import one_thread as one_thread

TOKENIZER = Tokenizer.tiny()
NEVER = out_of_turn(TOKENIZER, thinking=True)
ZOOM = Tool("zoom", "A part of the picture.", {"type": "object", "properties": {"box": {"type": "array"}}})
CALL = ToolCall("functions.zoom:0", "zoom", '{"box": [0, 0, 1, 1]}')


def picture(seed: int) -> Picture:
    return Picture.of(np.random.default_rng(seed).integers(0, 256, (64, 64, 3), np.uint8))


CONVERSATIONS: Sequence[tuple[list[Message], tuple[Tool, ...]]] = (
    ([user("How many words?")], ()),
    ([user(picture(0), "How many circles?")], (ZOOM,)),
    (
        [
            user(picture(1), "What is there?"),
            assistant("Let me look.", calls=(CALL,)),
            tool_result(CALL, "the part:", picture(2)),
        ],
        (ZOOM,),
    ),
)


def trajectory(name: str, turns: Sequence[Sampled]) -> Trajectory:
    """Turns that append to each other, as a rollout records them."""
    whole, parent = Trajectory(name, name), NOBODY
    for turn in turns:
        ids = np.concatenate([turn.added, turn.ids])
        node = Node(ids, len(turn.added), turn.logprobs, turn.versions, parent, media=turn.media, draw=turn.draw)
        parent = whole.add(node)
    return whole


async def rollouts(engine: AsyncEngine) -> list[Trajectory]:
    chat = TokenChat(engine, TOKENIZER, tiny().rules, context_tokens=700, never=NEVER)

    async def talk(number: int, *, thinking: bool, temperature: float) -> Trajectory:
        messages, tools = CONVERSATIONS[number]
        sampling, turns = Sampling(temperature, 1.0, 24, {"thinking": thinking}), list[Sampled]()
        for _ in range(2):
            reply = await chat.complete(messages, tools, sampling=sampling)
            assert reply.sampled is not None
            turns.append(reply.sampled)
            messages = [*messages, reply.message, user("And now?")]
        return trajectory(f"{number}/{thinking}/{temperature}", turns)

    asked = [(n, mode, t) for n in range(len(CONVERSATIONS)) for mode in (True, False) for t in (1.0, 0.7)]
    found = await asyncio.gather(*(talk(n, thinking=mode, temperature=t) for n, mode, t in asked))
    assert chat.counts["appended"] == len(asked)  # each second turn continues the first
    return found


def test_engine_and_trainer_agree_on_text_pictures_and_tools_in_both_modes() -> None:
    model = build(tiny(), seed=0)

    async def sampled() -> list[Trajectory]:
        async with AsyncEngine(build(tiny(), seed=0), config=EngineConfig(cache_tokens=16_384)) as engine:
            return await rollouts(engine)

    whole = asyncio.run(sampled())
    run = SampledFrom(1.0, NEVER)
    samples = [one.to_samples(1.0)[0] for one in whole]
    batch = stack(pack_all(samples, 700, pad_id=TOKENIZER.pad))
    heat = {sample.name: temperature_T(one, 1, run) for sample, one in zip(samples, whole, strict=True)}
    found = batch_logprobs(
        model, batch, run, micro_rows=2, device=torch.device("cpu"), temperature_BT=laid_out(batch, heat)
    )
    report = measure_batch(batch, found.logprobs_BT, version=0)
    assert report.all.tokens == sum(one.sampled_tokens for one in whole) > 400
    assert sum(map(sum, batch.media_counts)) == 4 * 3
    assert report.all.mean_absolute <= 1e-4 and report.all.masked == 0
    assert report.figures["kl_k3"] < 1e-6
