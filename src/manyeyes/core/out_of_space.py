"""What a write that found no room says: one table and one line for whoever meets it.

Programs that write a file need no more than `out_of_space_line`; who has more to say asks `out_of_space` for the cause.
"""

import errno
import os

OUT_OF_SPACE = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file is larger than the disk or its quota allows",
}
"""The cause by error number."""


def out_of_space(error: BaseException) -> str | None:
    """Why a write found no room; None when it failed for another reason.

    safetensors gives no error number, only the system's text for it.

    Example:
        >>> out_of_space(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
        'the disk is full'
    """
    number, text = getattr(error, "errno", None), str(error)
    return next((why for code, why in OUT_OF_SPACE.items() if number == code or os.strerror(code) in text), None)


def out_of_space_line(error: OSError) -> str | None:
    """The line with which a program ends when there is no room left; None when `error` says something else.

    Example:
        >>> out_of_space_line(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "weights.bin"))
        'weights.bin: the disk is full; free some space and try again'
    """
    why = out_of_space(error)
    return f"{error.filename or 'writing'}: {why}; free some space and try again" if why else None
