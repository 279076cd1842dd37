"""Environments that ship: a computer's screen, a repository to mend, pictures to measure."""
