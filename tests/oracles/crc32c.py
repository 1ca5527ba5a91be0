"""CRC32C bit by bit, and the mask that TFRecord files put on it."""

# Castagnoli's polynomial, lowest bit first.
_POLYNOMIAL = 0x82F63B78


def crc32c(data):
  """Returns the checksum of bytes, one bit at a time."""
  crc = 0xFFFFFFFF
  for byte in data:
    crc ^= byte
    for _ in range(8):
      crc = crc // 2 ^ (_POLYNOMIAL if crc % 2 else 0)
  return crc ^ 0xFFFFFFFF


def masked(data):
  """Returns the checksum rotated right by 15 bits, plus a constant."""
  bits = f"{crc32c(data):032b}"
  return (int(bits[-15:] + bits[:-15], 2) + 0xA282EAD8) % 2**32
