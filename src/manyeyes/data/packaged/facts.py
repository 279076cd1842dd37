"""Tables as knowledge: each entity a page of sentences, and conversations that ask for the same facts.

A page states every fact of an entity. Questions about a twentieth of the facts are held out: what a model answers
there it can only have read on a page, which is what a test of text knowledge should measure. Another twentieth of the
entities is held out altogether: their pages are the test split of the pages, and nobody asks about them.

Report: App. B.2 (knowledge).
"""

from collections.abc import Sequence
from typing import NamedTuple

from manyeyes.core import seeds
from manyeyes.data.collection import Domain, Split
from manyeyes.data.held_out import split_of
from manyeyes.data.record import Change, Record, Turn


class Fact(NamedTuple):
    """One thing known about an entity; without questions when it is only told.

    Example:
        >>> Fact("capital", ("What is the capital of Iceland?",), "Reykjavik", "It is Reykjavik.").answer
        'Reykjavik'
    """

    attribute: str
    questions: tuple[str, ...]
    answer: str
    sentence: str


class Entity(NamedTuple):
    """A thing with a name, what kind of thing it is, and its facts."""

    name: str
    kind: str
    facts: tuple[Fact, ...]


def entity_split(kind: str, name: str) -> Split:
    """Whether an entity's page is trained on or held out."""
    return split_of(f"entity/{kind}/{name}")


class FactPages:
    """One document for each entity of a split, a heading and its facts as prose; then tables of many entities.

    Args:
        name: of the collection.
        entities: what the pages are about.
        split: "train" or "test".
        tables: documents to append as they are (markdown tables of the same split).
    """

    domain: Domain = "text"
    kind = "knowledge_text"

    def __init__(self, name: str, entities: Sequence[Entity], split: Split, *, tables: Sequence[str] = ()) -> None:
        self.name = name
        pages = [page(entity) for entity in entities if entity_split(entity.kind, entity.name) == split]
        self._texts = pages + list(tables)

    def __len__(self) -> int:
        return len(self._texts)

    def record(self, index: int) -> Record:
        """The page as one document."""
        return Record(f"{self.name}/{index}", (Turn("document", (self._texts[index],)),))


def page(entity: Entity) -> str:
    """The entity's page.

    Example:
        >>> page(Entity("Iron", "element", (Fact("symbol", (), "Fe", "The symbol of iron is Fe."),)))
        '# Iron\\n\\nThe symbol of iron is Fe.\\n'
    """
    return f"# {entity.name}\n\n{' '.join(fact.sentence for fact in entity.facts)}\n"


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A markdown table under a heading.

    Example:
        >>> print(table("Gases", ("Name", "Symbol"), [("Neon", "Ne")]))
        # Gases
        <BLANKLINE>
        | Name | Symbol |
        |---|---|
        | Neon | Ne |
        <BLANKLINE>
    """
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return f"# {title}\n\n| {' | '.join(head)} |\n|{'---|' * len(head)}\n" + "\n".join(lines) + "\n"


class FactQuestions:
    """Conversations about facts: some questions on one entity each (train), or one question each with its truth (test).

    Args:
        name: of the collection.
        entities: what the questions are about.
        split: "train" or "test".
        most_questions: questions a training conversation holds at most.
        seed: of the named stream that chooses wordings.
    """

    domain: Domain = "text"
    kind = "knowledge_text"

    def __init__(
        self, name: str, entities: Sequence[Entity], split: Split, *, most_questions: int = 4, seed: int = 0
    ) -> None:
        self.name, self._split, self._seed = name, split, seed
        known = [entity for entity in entities if entity_split(entity.kind, entity.name) == "train"]
        asked = [
            [fact for fact in entity.facts if fact.questions and self._of(entity, fact) == split] for entity in known
        ]
        size = most_questions if split == "train" else 1
        self._groups = [facts[i : i + size] for facts in asked for i in range(0, len(facts), size)]

    @staticmethod
    def _of(entity: Entity, fact: Fact) -> Split:
        return split_of(f"fact/{entity.kind}/{entity.name}/{fact.attribute}")

    def __len__(self) -> int:
        return len(self._groups)

    def record(self, index: int) -> Record:
        """The conversation; a test record's `truth` is the answer."""
        facts = self._groups[index]
        rng = seeds.stream(self._seed, f"data/{self.name}/wording", index)
        turns: list[Turn] = []
        for fact, which in zip(facts, rng.random(len(facts)).tolist(), strict=True):
            turns.append(Turn("user", (fact.questions[int(which * len(fact.questions))],)))
            turns.append(Turn("assistant", (fact.answer,)))
        truth = facts[0].answer if self._split == "test" else None
        allowed: frozenset[Change] = frozenset({"text", "order"})
        return Record(f"{self.name}/{self._split}/{index}", tuple(turns), allowed=allowed, truth=truth)
