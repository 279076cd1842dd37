"""Generation from a trained model (App. D)."""
