"""Generative reward models (§4.4.2): a model that grades open-ended work by rubrics, and is graded itself."""
