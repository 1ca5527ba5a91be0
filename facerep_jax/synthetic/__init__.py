"""Synthetic face tracks with ground truth."""
