"""Learning from rollouts: objectives, corrections, loops. Above agents and trainer; knows no inference engine."""
