"""Tools of agents: search, pages, and what they stand on. Report: App. D, E.6, E.8."""
