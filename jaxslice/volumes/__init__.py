"""Volumes in and out: sources and destinations, one file for each format."""
