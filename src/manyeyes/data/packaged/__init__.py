"""Real data that ship inside pinned packages of PyPI: pictures, handwriting, tables, prose and source code."""
