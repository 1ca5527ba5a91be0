"""Face representations from unlabelled video, in JAX."""
