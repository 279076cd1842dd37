"""`MissingPackage`: what was asked for needs a package, program or browser that is not installed; the message says how.

A configuration that is right can be told from one that is not: a dry run of a cluster's recipe on a laptop goes on.

Report: App. D (plug-ins composed by name).
"""

from manyeyes.core.errors import ConfigError


class MissingPackage(ConfigError):
    """Not installed on this machine; the configuration may be right."""
