"""Tells whether a media file was cut off, by the sizes that it announces.

What plays a file takes it up to its last byte and says nothing; the sizes of
its parts stand in it all the same.

Sources: RIFF (AVI), EBML (RFC 8794; Matroska and WebM), ISO 14496-12 (MP4 and
MOV), the ASF specification (WMV), Adobe's FLV specification,
ISO 13818-1 (transport streams).
"""

import os
import struct
from typing import BinaryIO

_EBML, _SEGMENT = b"\x1aE\xdf\xa3", b"\x18S\x80g"
_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_FILE = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_INFO, _SCALE, _DURATION = b"\x15I\xa9f", b"*\xd7\xb1", b"D\x89"
# MPEG transport streams: bytes of a packet, place of its mark. Discs and
# cameras put a time stamp before each.
_SYNC, _PACKETS = b"G", ((188, 0), (192, 4))
_HEAD_BYTES = 2**16
_MOST_S = 1e7  # Longer ones are taken for damage.


def missing_bytes(path: str | os.PathLike) -> int:
  """Counts the bytes that a file should have beyond its end.

  Args:
    path: Media file.

  Returns:
    0 of a file that is whole, or of a kind that does not say how long it is,
    such as MPEG. Of some kinds the least number there can be: of a transport
    stream, what its last packet lacks.

  Raises:
    OSError: It cannot be read.
  """
  with open(path, "rb") as file:
    size = os.fstat(file.fileno()).st_size
    head = file.read(_HEAD_BYTES)
    if head[:4] == b"RIFF":
      end = _riff_end(file, size)
    elif head[:4] == _EBML:
      end = _ebml_end(file, size)
    elif head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
      end = _boxes_end(file, size)
    elif head[:16] == _ASF:
      end = _asf_end(head)
    elif head[:3] == b"FLV":
      end = _flv_end(head)
    else:
      end = _packets_end(head, size)
  return max(0, end - size)


def announced_s(path: str | os.PathLike) -> float:
  """Reads how long the media in a file is said to last, in seconds.

  Args:
    path: Media file.

  Returns:
    0.0 where it is not told: only WebM, Matroska, WMV and FLV are asked.

  Raises:
    OSError: The file cannot be read.
  """
  with open(path, "rb") as file:
    head = file.read(_HEAD_BYTES)
  found = 0.0
  if head[:4] == _EBML:
    found = _ebml_seconds(head)
  elif head[:16] == _ASF:
    place = head.find(_ASF_FILE)
    if 0 <= place <= len(head) - 88:
      ticks, preroll_ms = struct.unpack_from("<Q8xQ", head, place + 64)
      found = ticks / 1e7 - preroll_ms / 1e3
  elif head[:3] == b"FLV":
    found = _flv_number(head, b"duration")
  return found if 0 < found < _MOST_S else 0.0


def _ebml_seconds(head: bytes) -> float:
  """Reads the duration of a segment, in units of its own."""
  info = head.find(_INFO)
  scale = _ebml_value(head, info, _SCALE)
  value = _ebml_value(head, info, _DURATION)
  if info < 0 or len(value) not in (4, 8):
    return 0.0
  unit_s = (int.from_bytes(scale, "big") or 10**6) / 1e9
  return unit_s * struct.unpack(">f" if len(value) == 4 else ">d", value)[0]


def _ebml_value(head: bytes, start: int, name: bytes) -> bytes:
  """Returns the data of the first small element of a name; b"" without."""
  place = head.find(name, max(0, start)) + len(name)
  length = head[place] - 0x80 if len(name) <= place < len(head) else 0
  return head[place + 1 : place + 1 + length] if 0 < length <= 8 else b""


def _riff_end(file: BinaryIO, size: int) -> int:
  """Follows the RIFF chunks; large AVI files have several."""
  place = 0
  while place + 8 <= size:
    file.seek(place)
    name, length = struct.unpack("<4sI", file.read(8))
    if name != b"RIFF" or length in (0, 2**32 - 1):  # Not told, or no more.
      break
    place += 8 + length
  return place


def _ebml_end(file: BinaryIO, size: int) -> int:
  """Follows the elements; into those that do not tell their size."""
  place = 0
  while place < size:
    file.seek(place)
    head = file.read(12)
    id_length = _vint_length(head[:1])
    length = _vint_length(head[id_length : id_length + 1])
    if not id_length or (len(head) > id_length and not length):
      return 0  # No element: something else was put behind the media.
    data = place + id_length + length
    if len(head) < id_length + length:
      return data
    mark = head[id_length : id_length + length]
    value = int.from_bytes(mark, "big") & (2 ** (7 * length) - 1)
    is_told = value != 2 ** (7 * length) - 1
    if not is_told:
      place = data
      continue
    if head[:4] == _SEGMENT:
      return data + value
    place = data + value
  return place


def _vint_length(first: bytes) -> int:
  """Returns how many bytes a number of EBML has, 0 if it is none."""
  return 9 - first[0].bit_length() if first and first[0] else 0


def _boxes_end(file: BinaryIO, size: int) -> int:
  """Follows the boxes; the last one may reach to the end of any file."""
  place = 0
  while place + 8 <= size:
    file.seek(place)
    head = file.read(16)
    length = int.from_bytes(head[:4], "big")
    if length == 1:
      length = int.from_bytes(head[8:], "big")
    if length < 8:
      break
    place += length
  return place


def _packets_end(head: bytes, size: int) -> int:
  """Returns where the last packet of a transport stream ends; 0 of others."""
  for length, first in _PACKETS:
    marks = head[first : first + 3 * length : length]
    if marks == _SYNC * 3:
      return -(-size // length) * length
  return 0


def _asf_end(head: bytes) -> int:
  """Reads the size of the file; 0 of a broadcast."""
  place = head.find(_ASF_FILE) + 40
  is_there = 40 <= place <= len(head) - 8
  return struct.unpack_from("<Q", head, place)[0] if is_there else 0


def _flv_end(head: bytes) -> int:
  """Reads the size of the file, where who wrote it noted it."""
  value = _flv_number(head, b"filesize")
  return int(value) if 0 < value < 2**62 else 0


def _flv_number(head: bytes, name: bytes) -> float:
  """Reads a number of the meta data; 0 without."""
  mark = name + b"\0"  # The type of numbers.
  place = head.find(mark) + len(mark)
  if not len(mark) <= place <= len(head) - 8:
    return 0.0
  return struct.unpack_from(">d", head, place)[0]
