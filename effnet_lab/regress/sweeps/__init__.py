"""Sweeps: one notebook at every point of a grid, each point finished once, whatever dies meanwhile."""
