"""Faces in frames: finding, following and cutting them."""
