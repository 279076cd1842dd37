"""Pages and terminal views over run folders."""
