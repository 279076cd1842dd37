"""The network of the report (§4.1-4.2) as plain single-device PyTorch, and its weights on disk."""
