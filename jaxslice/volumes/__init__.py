"""Volumes in and out: one file for each format, listed in `formats.py`, where one is added."""
