"""Face tracks: making, storing and reading them."""
