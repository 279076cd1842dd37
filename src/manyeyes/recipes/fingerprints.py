"""The fingerprint of a configuration: equal for equal plain data, whatever the order of keys."""

import hashlib
import json
from typing import Any


def fingerprint_of(data: Any) -> str:
    """16 hexadecimal digits of plain data.

    Example:
        >>> fingerprint_of({"a": 1, "b": 2}) == fingerprint_of({"b": 2, "a": 1})
        True
    """
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]
