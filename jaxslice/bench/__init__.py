"""Synthetic volumes, peers, pictures, the demo and the benchmark."""
