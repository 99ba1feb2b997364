"""Benchmarks and studies, on the public API alone."""
