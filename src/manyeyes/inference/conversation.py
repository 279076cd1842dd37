"""`Assistant`: a trained model with its vocabulary, loaded from a run or checkpoint folder, answering messages.

Report: §4.1 (thinking and instant mode are one model), App. D.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from manyeyes.core.chat import parse, render
from manyeyes.core.errors import CheckpointError
from manyeyes.core.messages import Message
from manyeyes.core.tokenizer import Tokenizer
from manyeyes.inference.generate import Prompt, generate
from manyeyes.inference.sampling import GREEDY, SamplingParams
from manyeyes.model.checkpoint import load_model
from manyeyes.model.checkpoint_folder import CONFIG, read_json
from manyeyes.model.multimodal import K25
from manyeyes.model.precision import default_dtype


class Assistant:
    """Answers conversations with one model."""

    def __init__(self, model: K25, tokenizer: Tokenizer) -> None:
        self.model, self.tokenizer = model, tokenizer

    @classmethod
    def load(cls, folder: Path, *, device: torch.device | str = "cpu") -> "Assistant":
        """A model from a checkpoint folder in the official layout, with its `tiktoken.model`.

        Weights that are stored in fp32 are computed with in fp32, so that a run answers here as it was scored; others
        in what the device multiplies fast.

        Raises:
            CheckpointError: weights or vocabulary are missing or damaged.
        """
        if not folder.is_dir():
            raise CheckpointError(f"no checkpoint folder {folder}")
        stored = read_json(folder / CONFIG).get("dtype")
        dtype = torch.float32 if stored == "float32" else default_dtype(device)
        return cls(load_model(folder, device=device, dtype=dtype), Tokenizer.load(folder))

    def answer(
        self,
        messages: Sequence[Message],
        *,
        params: SamplingParams = GREEDY,
        thinking: bool = False,
        on_text: Callable[[str], None] = lambda text: None,
    ) -> Message:
        """The assistant's next message; `on_text` receives it piece by piece.

        Marks that have no place in it are not sampled: of tool calls, as no tools are offered here; `<think>`, which
        the prompt has written; and in instant mode `</think>`.

        Raises:
            ChatError: what was sampled is no turn all the same (thoughts that end twice).
        """
        rendered = render(
            messages, self.tokenizer, rules=self.model.config.rules, thinking=thinking, generation_prompt=True
        )
        prompt = Prompt(rendered.ids, tuple(visual.media() for visual in rendered.visuals))
        stream = _TextStream(self.tokenizer, on_text)
        completion = generate(
            self.model,
            [prompt],
            params=params,
            stop_ids=self.tokenizer.stops,
            never=self._never(thinking),
            on_token=lambda _, token: stream.add(token),
        )[0]
        return parse(completion.ids, self.tokenizer, thinking=thinking)

    def _never(self, thinking: bool) -> frozenset[int]:
        special = frozenset(self.tokenizer.special.values())
        return special - {*self.tokenizer.stops, *([self.tokenizer.end_think] if thinking else ())}


class _TextStream:
    """Ids to text as they come; bytes of an unfinished character wait."""

    def __init__(self, tokenizer: Tokenizer, on_text: Callable[[str], None]) -> None:
        self.tokenizer, self.on_text = tokenizer, on_text
        self.ids: list[int] = []
        self.said = 0

    def add(self, token: int) -> None:
        self.ids.append(token)
        text = self.tokenizer.decode(self.ids, skip_special=True)
        if not text.endswith("\N{REPLACEMENT CHARACTER}"):
            self.on_text(text[self.said :])
            self.said = len(text)
