"""Batches that are unsure and varied at once."""
