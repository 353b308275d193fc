"""Model families: one folder each behind the interface of `base`, listed in `family_registry`."""
