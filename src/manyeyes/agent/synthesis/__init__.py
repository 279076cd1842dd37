"""Candidate synthesis: teachers answer seed problems, stages verify what they say, and the best becomes data."""
