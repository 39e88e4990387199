"""Benchmarks of channels: what is published, until its readers have it; see ../README.md."""
