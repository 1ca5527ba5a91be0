"""What `python -m facerep_jax.benchmark` measures, one module per subject."""
