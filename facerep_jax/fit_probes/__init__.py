"""The command that fits ready linear probes of a model."""
