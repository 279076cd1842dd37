"""Prompt modules: how an attempt is presented, drawn for each and recorded, and constraints that can be verified."""
