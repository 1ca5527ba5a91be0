"""The published or literal forms that benchmarks compare with."""
