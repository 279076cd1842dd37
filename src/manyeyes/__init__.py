"""manyeyes: an open implementation of the whole system of the Kimi K2.5 technical report."""

__version__ = "0.1.0"
