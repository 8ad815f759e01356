"""Batches by chance, each item with a known inclusion probability."""
