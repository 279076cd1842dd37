"""The rubrics that are shipped: three for each kind of task, and how some of them are drawn.

Each kind looks at what matters to whoever uses the work: helpfulness, readiness, relevance, detail, instruction
following, and the aesthetics of an artefact. Alternatives differ in stance, in wording, and in what weighs most, so
that no phrase pleases all of them; which are used is drawn from a stream that belongs to the group of attempts, so that
all its attempts are judged alike and no policy can learn one grader.

Report: §4.4.2 (values of user experience; alternative rubrics against reward hacking); the wording is ours.
"""

from collections.abc import Mapping, Sequence

from manyeyes.core.errors import ConfigError
from manyeyes.core.seeds import stream
from manyeyes.reward.grm.rubric import Criterion, Rubric, TaskKind

HELPFULNESS = Criterion(
    "helpfulness",
    "Does it solve what was really asked for, and is what it says right?",
    ("it does not, or misleads", "in small part", "mostly, with gaps or slips", "wholly"),
)
USEFULNESS = Criterion(
    "helpfulness",
    "How far does whoever asked get with this, as it stands?",
    ("nowhere, or astray", "a step", "most of the way", "all the way"),
)
READINESS = Criterion(
    "readiness",
    "Can it be used at once, without anybody finishing, checking or repairing it?",
    ("it is a fragment or a promise", "much is left to do", "a little is left to do", "at once"),
)
EVIDENCE = Criterion(
    "readiness",
    "Is what it claims to have done, run or found borne out by what is shown?",
    ("claims without any sign of them", "some are borne out", "nearly all", "all of them"),
)
RELEVANCE = Criterion(
    "relevance",
    "Does it keep to this task and its context?",
    ("it is about something else", "it wanders", "it strays in places", "throughout"),
)
SOURCES = Criterion(
    "relevance",
    "Do the findings answer this very question, from sources that are named?",
    ("neither", "one or the other, in part", "they do, sources are thin", "they do, each with its source"),
)
DETAIL = Criterion(
    "detail",
    "Is the level of detail what the task calls for: nothing missing, nothing padded, nothing said twice?",
    ("far too little or far too much", "clearly off", "slightly off", "just right"),
)
ECONOMY = Criterion(
    "detail",
    "Could anything be cut without loss, or is anything left out that a reader needs?",
    ("most of it, or the essential", "a good deal", "a little", "nothing"),
)
INSTRUCTIONS = Criterion(
    "instructions",
    "Are all explicit demands kept (format, length, language, order, what to leave out)?",
    ("hardly any", "some", "all but one", "all of them"),
)
LETTER = Criterion(
    "instructions",
    "Go through the demands one by one: which share is kept to the letter?",
    ("none", "less than half", "more than half", "every one"),
)
AESTHETICS = Criterion(
    "aesthetics",
    "How does the artefact look: layout, alignment, contrast, legibility?",
    ("broken: cut off, overlapping, unreadable", "plain and uneven", "tidy", "carefully made"),
)
CRAFT = Criterion(
    "aesthetics",
    "Would a designer hand this over: hierarchy, spacing, colours, consistency?",
    ("never", "after much work", "after small changes", "as it is"),
)
MAINTENANCE = Criterion(
    "aesthetics",
    "Is the change small, in the style of what stands around it, and easy to read?",
    ("no", "in places", "mostly", "yes"),
)

_USER = "You asked for this and will use it at once."
_EXPERT = "You know the subject well and are asked whether this work is good."
_EDITOR = "You are strict: what cannot be seen does not count, and good manners are worth nothing."

RUBRICS: Mapping[TaskKind, tuple[Rubric, ...]] = {
    "chat": (
        Rubric("user", _USER, (HELPFULNESS, READINESS, RELEVANCE, DETAIL, INSTRUCTIONS), {"helpfulness": 2}),
        Rubric("expert", _EXPERT, (USEFULNESS, RELEVANCE, ECONOMY, LETTER), {"helpfulness": 2}),
        Rubric("editor", _EDITOR, (LETTER, HELPFULNESS, ECONOMY, RELEVANCE), {"instructions": 2}),
    ),
    "coding": (
        Rubric("user", _USER, (HELPFULNESS, READINESS, INSTRUCTIONS), {"helpfulness": 2, "readiness": 2}),
        Rubric("reviewer", _EXPERT, (USEFULNESS, EVIDENCE, MAINTENANCE, ECONOMY), {"helpfulness": 2}),
        Rubric("auditor", _EDITOR, (EVIDENCE, LETTER, HELPFULNESS), {"readiness": 2}),
    ),
    "search": (
        Rubric("user", _USER, (HELPFULNESS, SOURCES, READINESS, DETAIL), {"helpfulness": 2}),
        Rubric("expert", _EXPERT, (SOURCES, USEFULNESS, ECONOMY, INSTRUCTIONS), {"relevance": 2}),
        Rubric("checker", _EDITOR, (EVIDENCE, SOURCES, LETTER, USEFULNESS), {"readiness": 2}),
    ),
    "artefact": (
        Rubric("user", _USER, (HELPFULNESS, READINESS, AESTHETICS, INSTRUCTIONS), {"aesthetics": 2}),
        Rubric("designer", _EXPERT, (CRAFT, USEFULNESS, ECONOMY), {"aesthetics": 2}),
        Rubric("editor", _EDITOR, (LETTER, AESTHETICS, READINESS, RELEVANCE), {"instructions": 2}),
    ),
}


def drawn(rubrics: Sequence[Rubric], count: int, *, seed: int, name: str) -> list[Rubric]:
    """So many of the rubrics, each at most once.

    Args:
        name: of what is judged; attempts that are compared with each other need the same.

    Raises:
        ConfigError: there are not so many.

    Example:
        >>> len(drawn(RUBRICS["chat"], 2, seed=0, name="maze/17"))
        2
    """
    if not 1 <= count <= len(rubrics):
        raise ConfigError(f"expected 1 to {len(rubrics)} rubrics to be drawn, got {count}")
    order = stream(seed, f"grm/rubrics/{name}").permutation(len(rubrics))
    return [rubrics[at] for at in order[:count]]
