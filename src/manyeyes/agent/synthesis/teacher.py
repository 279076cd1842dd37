"""`Teacher`: a model that answers seeds, and how it is asked to think or to answer at once.

Report: §4.4.1 (K2, K2 Thinking and in-house experts as teachers).
"""

from dataclasses import dataclass

from manyeyes.agent.chat_model import ChatModel, Sampling


@dataclass(frozen=True, slots=True)
class Teacher:
    """See the module.

    Attributes:
        name: unique among the teachers; stands in the provenance of what it wrote.
        model: any endpoint, the embedded engine, a script.
        thinking: how it is asked where the dialogue is to show reasoning.
        instant: how it is asked where it is not; the embedded engine takes `extra={"thinking": False}`.
        seeded: whether the model takes a seed in `extra`. Then what is drawn follows from what is asked alone, whatever
            else is asked and however often the run was interrupted.
    """

    name: str
    model: ChatModel
    thinking: Sampling = Sampling()
    instant: Sampling = Sampling()
    seeded: bool = False

    def sampling(self, *, thinking: bool) -> Sampling:
        """How it is asked."""
        return self.thinking if thinking else self.instant
