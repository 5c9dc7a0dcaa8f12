"""Errors, boxes, types, checksums and progress: what every other package may use."""
