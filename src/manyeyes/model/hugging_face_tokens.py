"""`HuggingFaceTokens`: messages to ids by a model's own vocabulary and chat template, and ids to text.

Report: none (the chat format of a policy that is not K2.5).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from manyeyes.core.errors import ConfigError
from manyeyes.core.messages import Message
from manyeyes.model.hugging_face import source_of, transformers


class HuggingFaceTokens:
    """See the module; a `ChatTemplate` of `agent.adapters.one_answer`.

    Args:
        tokenizer: of transformers, with a chat template.

    Attributes:
        stops: ids that end a turn.
        pad: fills rows; what stands there is never read.

    Raises:
        ConfigError: it has no chat template, or no end of a turn.
    """

    def __init__(self, tokenizer: Any) -> None:
        if not tokenizer.chat_template or tokenizer.eos_token_id is None:
            raise ConfigError("a chat needs a vocabulary with a chat template and an end-of-turn token; this has none")
        self.tokenizer = tokenizer
        self.stops = frozenset({int(tokenizer.eos_token_id)})
        self.pad = int(tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id)

    @classmethod
    def load(cls, path: Path) -> "HuggingFaceTokens":
        """That of a folder or GGUF file; see `hugging_face.load`."""
        library = transformers(*(("gguf",) if path.suffix == ".gguf" else ()))
        folder, named = source_of(path)
        return cls(library.AutoTokenizer.from_pretrained(folder, local_files_only=True, **named))

    def prompt(self, messages: Sequence[Message]) -> NDArray[np.int32]:
        """A conversation and the head of the answer to it.

        Raises:
            ConfigError: a message with a picture, with calls, or with a special token in its text.
        """
        plain = [{"role": message.role, "content": self._text(message)} for message in messages]
        ids = self.tokenizer.apply_chat_template(plain, add_generation_prompt=True, tokenize=True, return_dict=False)
        return np.array(ids, np.int32)

    def text(self, ids: Sequence[int]) -> str:
        """What ids say, without special tokens."""
        return self.tokenizer.decode(list(ids), skip_special_tokens=True)

    def _text(self, message: Message) -> str:
        if message.media or message.tool_calls:
            raise ConfigError("this chat holds words alone, and a message brings pictures or calls of tools")
        if found := [token for token in self.tokenizer.all_special_tokens if token in message.text]:
            raise ConfigError(f"a message says {found[0]!r}, which its template would take for the end of it")
        return message.text
