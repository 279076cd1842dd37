"""Stages, losses, the step and the loop of pre-training (§4.3)."""
