"""Benchmarks: what a message costs, side by side; see README.md."""
