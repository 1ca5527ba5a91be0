"""A run: its config, and what lies in its folder."""
