"""Conversations of a few words: greetings, who am I, and little tasks on words and lists whose answers are computed.

Enough for a tiny model to learn what a turn is, to answer in kind and to obey simple instructions.

Report: §4.3 (supervised fine-tuning), in miniature.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from manyeyes.core import seeds
from manyeyes.core.errors import DataError
from manyeyes.data.collection import Domain, Split
from manyeyes.data.held_out import split_of
from manyeyes.data.record import Record, Turn


class Exchange(NamedTuple):
    """What a user says and what is answered."""

    said: str
    answer: str


GREETINGS = {
    "Hello!": "Hello! How can I help you?",
    "Hi": "Hi! What can I do for you?",
    "Hi there!": "Hi! What would you like to know?",
    "Good morning.": "Good morning! How can I help you?",
    "Good evening.": "Good evening! How can I help you?",
    "How are you?": "I am fine, thank you. How can I help you?",
    "Who are you?": "I am manyeyes, a small model that sees pictures and reads text.",
    "What is your name?": "My name is manyeyes.",
    "What can you do?": "I can look at pictures, read short texts and answer simple questions.",
    "Are you a person?": "No, I am a small language model.",
    "Can you see pictures?": "Yes. Show me a picture and ask a question about it.",
    "Who made you?": "I was trained with the open project manyeyes.",
    "Thank you!": "You are welcome!",
    "Thanks.": "You are welcome!",
    "Bye!": "Goodbye!",
    "See you later.": "See you later!",
    "Can you help me?": "Yes, of course. What would you like to know?",
    "Do you speak English?": "Yes, I do.",
    "Tell me a joke.": "Why did the pixel cross the road? To see the bigger picture.",
}

WORDS = (
    "apple", "bread", "bridge", "cat", "chair", "cloud", "dog", "door", "eagle", "fish", "flower", "forest",
    "garden", "glass", "horse", "house", "island", "lamp", "leaf", "lemon", "moon", "mountain", "mouse", "ocean",
    "orange", "paper", "pencil", "piano", "planet", "rabbit", "rain", "river", "ship", "snow", "spoon", "star",
    "stone", "summer", "table", "tiger", "train", "tree", "water", "window", "winter", "wolf",
)  # fmt: skip
OPPOSITES = {
    "big": "small", "hot": "cold", "up": "down", "day": "night", "fast": "slow", "happy": "sad", "new": "old",
    "open": "closed", "full": "empty", "light": "dark", "high": "low", "early": "late", "left": "right", "rich": "poor",
    "strong": "weak", "wet": "dry", "long": "short", "loud": "quiet", "hard": "soft", "thick": "thin",
}  # fmt: skip
KINDS = {
    "animal": ("cat", "dog", "eagle", "fish", "horse", "mouse", "rabbit", "tiger", "wolf"),
    "fruit": ("apple", "lemon", "orange"),
    "season": ("summer", "winter"),
    "thing in the sky": ("cloud", "moon", "star"),
    "piece of furniture": ("chair", "lamp", "table"),
}
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip


def spell(rng: np.random.Generator) -> Exchange:
    """Letters of a word, one by one."""
    word = _word(rng)
    return Exchange(f"Spell the word {word}.", "-".join(word))


def letters(rng: np.random.Generator) -> Exchange:
    """How many letters a word has."""
    word = _word(rng)
    return Exchange(f"How many letters has the word {word}?", str(len(word)))


def first_letter(rng: np.random.Generator) -> Exchange:
    """The first or last letter of a word."""
    word = _word(rng)
    which, letter = ("first", word[0]) if rng.random() < 0.5 else ("last", word[-1])
    return Exchange(f"What is the {which} letter of {word}?", letter)


def repeat(rng: np.random.Generator) -> Exchange:
    """A word several times."""
    word, times = _word(rng), int(rng.integers(2, 6))
    return Exchange(f"Say {word} {times} times.", " ".join([word] * times))


def upper(rng: np.random.Generator) -> Exchange:
    """Some words in capital letters."""
    words = _words(rng)
    return Exchange(f"Write this in capital letters: {' '.join(words)}", " ".join(words).upper())


def alphabetical(rng: np.random.Generator) -> Exchange:
    """Some words in alphabetical order."""
    words = _words(rng)
    return Exchange(f"Put these words in alphabetical order: {', '.join(words)}", ", ".join(sorted(words)))


def backwards(rng: np.random.Generator) -> Exchange:
    """A list of words from the end to the start."""
    words = _words(rng)
    return Exchange(f"Say these words in reverse order: {', '.join(words)}", ", ".join(reversed(words)))


def longest(rng: np.random.Generator) -> Exchange:
    """The word with most letters, the first of equals."""
    words = _words(rng)
    return Exchange(f"Which of these words is the longest: {', '.join(words)}?", max(words, key=len))


def opposite(rng: np.random.Generator) -> Exchange:
    """The opposite of an adjective, in both directions."""
    pair = list(OPPOSITES.items())[int(rng.integers(len(OPPOSITES)))]
    word, other = pair if rng.random() < 0.5 else pair[::-1]
    return Exchange(f"What is the opposite of {word}?", other)


def belongs(rng: np.random.Generator) -> Exchange:
    """Whether a word names a kind of thing."""
    kind = list(KINDS)[int(rng.integers(len(KINDS)))]
    known = [word for words in KINDS.values() for word in words]
    word = str(rng.choice(KINDS[kind] if rng.random() < 0.5 else known))
    return Exchange(f"Is {word} {_article(kind)} {kind}?", "Yes." if word in KINDS[kind] else "No.")


def calendar(rng: np.random.Generator) -> Exchange:
    """What comes after or before a day or a month."""
    names, unit = (DAYS, "day") if rng.random() < 0.5 else (MONTHS, "month")
    place, after = int(rng.integers(len(names))), rng.random() < 0.5
    answer = names[(place + (1 if after else -1)) % len(names)]
    return Exchange(f"Which {unit} comes {'after' if after else 'before'} {names[place]}?", answer)


TASKS: tuple[Callable[[np.random.Generator], Exchange], ...] = (
    spell, letters, first_letter, repeat, upper, alphabetical, backwards, longest, opposite, belongs, calendar,
)  # fmt: skip


class SmallTalk:
    """Conversations of one to three exchanges, a greeting among them now and then.

    Args:
        split: tasks are held out by a hash of what the user says; greetings never are.
        count: number of conversations.
        seed: of the stream.
    """

    name = "small_talk"
    domain: Domain = "text"
    kind = "web"

    def __init__(self, split: Split, *, count: int = 10_000, seed: int = 0) -> None:
        self._split, self._count, self._seed = split, count, seed

    def __len__(self) -> int:
        return self._count

    def record(self, index: int) -> Record:
        """The conversation; a test record is one task with its truth."""
        rng = seeds.stream(self._seed, f"data/small_talk/{self._split}", index)
        name = f"{self.name}/{self._split}/{index}"
        if self._split == "test":
            task = self._task(index, rng)
            return Record(name, _said([task]), truth=task.answer)
        exchanges = [self._task(index + 7 * number, rng) for number in range(int(rng.integers(1, 4)))]
        if rng.random() < 0.25:
            exchanges.insert(0, Exchange(*list(GREETINGS.items())[int(rng.integers(len(GREETINGS)))]))
        return Record(name, _said(exchanges), allowed=frozenset({"text"}))

    def _task(self, number: int, rng: np.random.Generator) -> Exchange:
        task = TASKS[number % len(TASKS)]
        for _ in range(1024):
            exchange = task(rng)
            if split_of(f"small_talk/{exchange.said}", per_mille=100) == self._split:
                return exchange
        raise DataError(f"{self.name}: no {self._split} task of kind {task.__name__}; widen its range")


def _said(exchanges: list[Exchange]) -> tuple[Turn, ...]:
    return tuple(
        turn
        for exchange in exchanges
        for turn in (Turn("user", (exchange.said,)), Turn("assistant", (exchange.answer,)))
    )


def _word(rng: np.random.Generator) -> str:
    return WORDS[int(rng.integers(len(WORDS)))]


def _words(rng: np.random.Generator) -> list[str]:
    count = int(rng.integers(3, 6))
    return [WORDS[i] for i in rng.choice(len(WORDS), count, replace=False)]


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"
