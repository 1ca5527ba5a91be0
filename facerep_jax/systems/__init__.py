"""Learning systems: each composes models, ops and losses."""
