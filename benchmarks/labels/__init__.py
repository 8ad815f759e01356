"""Label efficiency: how much better a head gets for the same number of labels, by strategy.

`python -m benchmarks.labels` (or `make bench-labels`) runs every strategy on the same splits of
real data with frozen embeddings, and reports each against random selection, pair by pair.
"""
