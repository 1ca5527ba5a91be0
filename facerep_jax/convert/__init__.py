"""Weights of published PyTorch models, by their torch names, to and fro."""
