"""Tracks in files: what a record holds, shards, index and manifest."""
