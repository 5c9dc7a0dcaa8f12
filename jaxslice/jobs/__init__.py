"""Whole volumes: options, plan, base network, and all blocks through the codec."""
