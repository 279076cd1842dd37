"""A picture on its way to an answer: sizes, tokens, features, and what the model says.

    python examples/see_a_picture.py [CHECKPOINT FOLDER]

Without a folder the model is `tiny` with random weights: every step is the real one, the answer is noise. The folder of
a finished run's model is `runs/<run>/model`.
"""

import sys
from pathlib import Path

import numpy as np

from manyeyes.core.chat import render
from manyeyes.core.media import Picture
from manyeyes.core.messages import ImagePart, Message, TextPart
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.inference.conversation import Assistant
from manyeyes.inference.generate import Prompt, generate
from manyeyes.inference.sampling import SamplingParams
from manyeyes.model.config import tiny
from manyeyes.model.multimodal import build
from manyeyes.train.batches import media_of


def a_red_square() -> Picture:
    """64 x 64 pixels: a red square on light grey."""
    pixels = np.full((64, 64, 3), 230, np.uint8)
    pixels[20:44, 12:36] = (255, 0, 0)
    return Picture.of(pixels)


def main(folder: Path | None) -> None:
    """Print what happens on the way."""
    assistant = Assistant.load(folder) if folder else Assistant(build(tiny(), seed=0), Tokenizer.tiny())
    model, tokenizer = assistant.model, assistant.tokenizer
    message = Message("user", (ImagePart(a_red_square()), TextPart("what color is the shape?")))
    rendered = render([message], tokenizer, rules=model.config.rules, thinking=False, generation_prompt=True)
    print(tokenizer.decode(rendered.ids.tolist()).replace("<|media_pad|>" * 16, "<|media_pad|> x 16"))
    visual = rendered.visuals[0]
    print(f"{rendered.length} tokens, {visual.tokens} of them picture: {visual.grid}")
    media = media_of((visual.media(),), model.head_weight.device)
    print(f"patches {tuple(media.patches_NCPP.shape)} become features {tuple(model.encode(media).shape)}")
    prompt = Prompt(rendered.ids, (visual.media(),))
    answer = generate(model, [prompt], params=SamplingParams(max_new_tokens=8), stop_ids=(tokenizer.im_end,))[0]
    print(f"answer: {tokenizer.decode(answer.ids, skip_special=True)!r}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
