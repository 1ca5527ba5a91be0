"""How a picture of a face comes about, and what can be done to its codes."""
