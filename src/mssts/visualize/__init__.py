"""Pictures for people: overlays and attention maps."""
