"""Settings of the systems, a module each: get_config(preset)."""
