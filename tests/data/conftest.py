"""The small datasets of tracks, for the tests of what reads them."""

from tests.tracks.conftest import folder, people

__all__ = ["folder", "people"]
