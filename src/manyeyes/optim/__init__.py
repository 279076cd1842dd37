"""MuonClip (Muon, AdamW, QK-Clip) and learning-rate schedules (§4.1)."""
