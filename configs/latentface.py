"""LatentFace: --config=configs/latentface.py, or configs/latentface.py:PRESET.

The presets and their settings: facerep_jax/configs/latentface.py.
"""

from facerep_jax.configs.latentface import PRESETS, get_config

__all__ = ["PRESETS", "get_config"]
