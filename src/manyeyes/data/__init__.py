"""From sources to packs (§2.1, App. B, C.1): records, augmentation, mixture, packing, deterministic order."""
