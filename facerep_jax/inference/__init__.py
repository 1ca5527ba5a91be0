"""Trained models as objects: features, pictures, and files of weights."""
