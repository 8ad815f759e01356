"""Batches that cover the pool, its predictions, its metadata or the properties of its inputs."""
