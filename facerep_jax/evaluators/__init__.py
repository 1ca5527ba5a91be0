"""Measures of a frozen representation."""
