"""Text with exact truth that is computed: arithmetic, word problems, sequences, reasoning chains, instructions."""
