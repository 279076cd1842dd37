"""Scorers that training with rewards and evaluation share (§4.4.2)."""
