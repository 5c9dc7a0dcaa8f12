"""The decoder as one Pallas kernel for GPUs."""
