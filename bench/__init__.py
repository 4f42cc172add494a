"""Benchmarks beside other tools, in one run."""
