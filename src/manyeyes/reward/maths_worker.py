"""The program that `maths_verifier` runs: one pair of LaTeX expressions a line in, one verdict a line out.

It is a process of its own because algebra can take for ever or all memory: the kernel ends it when a pair has used its
time on the processor. Only the LaTeX reader of math-verify is used; its other one evaluates Python.
"""

import json
import os
import resource
import signal
import sys

MEMORY = 2 * 2**30


def main() -> None:
    """Answer until the input ends."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no reply
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    try:
        import math_verify
    except ImportError as error:
        _tell(replies, {"missing": str(error)})
        return
    _tell(replies, {"ready": True})
    for line in sys.stdin:
        asked = json.loads(line)
        signal.setitimer(signal.ITIMER_PROF, asked["cpu_seconds"])
        reply = _verdict(math_verify, asked["answer"], asked["truth"])
        signal.setitimer(signal.ITIMER_PROF, 0)
        _tell(replies, reply)


def _verdict(math_verify, answer: str, truth: str) -> dict[str, object]:
    try:
        config = [math_verify.LatexExtractionConfig(boxed_match_priority=0)]
        gold, said = (
            math_verify.parse(f"${text.replace('$', '')}$", config, fallback_mode="no_fallback", parsing_timeout=None)
            for text in (truth, answer)
        )
        if not gold:
            return {"unreadable": True}
        return {"same": bool(said) and bool(math_verify.verify(gold, said, timeout_seconds=None))}
    except (MemoryError, RecursionError):
        return {"same": None}


def _tell(replies, reply: dict[str, object]) -> None:
    replies.write(json.dumps(reply) + "\n")
    replies.flush()


if __name__ == "__main__":
    main()
