"""Generators: records made from (seed, index), with exact truth and without a file. One module per kind of data.

Report: App. B.3 (visual data), §4.3 (long-context stages). Every class here is a `Collection`.
"""
