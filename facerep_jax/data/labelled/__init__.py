"""Sets of labelled face images, each read from files that are there."""
