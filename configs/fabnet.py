"""FAb-Net: --config=configs/fabnet.py, or configs/fabnet.py:PRESET.

The presets and their settings: facerep_jax/configs/fabnet.py.
"""

from facerep_jax.configs.fabnet import PRESETS, get_config

__all__ = ["PRESETS", "get_config"]
