"""`says_none`: whether an answer says that something is not there, in one of the ways in which people say it.

    "There is no entry for red."   "No entry"   "not found"   "none"      and not: "0", "no", "no red ones, so 0"

Report: §4.4.1 (precise tool calls: a look-up that finds nothing is an answer, too).
"""

import re

_WHAT = r"(?:entry|entries|record|records|result|results|data|information|number|value|match|matches)"
_SAID = re.compile(
    rf"(?:(?:there (?:is|are|was|were)|i found|found) )?(?:no|not any|not an) (?:such )?{_WHAT}"
    rf"(?: (?:is |was |were )?(?:found|there|available|given|listed))?"
    rf"|(?:it is |it was |was |is )?(?:not (?:found|there|available|listed|given|known)|missing|unknown)"
    rf"|none(?: found)?|nothing(?: was)?(?: found)?|n/a|null"
)
_OF = re.compile(r" (?:for|on|about|of|under|with) ")


def says_none(answer: str, key: str) -> bool:
    """Whether an answer says that there is nothing under a key, and of no other key.

    Example:
        >>> says_none("There is no entry for red.", "red"), says_none("No entry for blue", "red"), says_none("0", "red")
        (True, False, False)
    """
    words = " ".join(answer.casefold().replace("'", "").replace('"', "").strip(" .!*_`").split())
    said, *of = _OF.split(words, maxsplit=1)
    said = re.sub(rf"^(?:the )?(?:key |entry )?{re.escape(key.casefold())} (?=is |was )", "", said)
    return _SAID.fullmatch(said) is not None and all(key.casefold() in re.findall(r"\w+", one) for one in of)
