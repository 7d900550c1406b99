"""Space on the volume of a run: a warning before it is short, and an error that names it when it is."""

from __future__ import annotations

import errno
import json
import zlib
from pathlib import Path

from disrouter.artifacts import write_atomically

SIZES_FILE = "sizes.json"
"""In a checkpoint, written last: bytes and checksum of each of its files. Older ones have a number, the bytes alone."""
_PIECE = 1 << 20
"""Bytes that are read at once."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_SIGNS = (
    "No space left on device",
    "Disk quota exceeded",
    "File too large",
    "PytorchStreamWriter failed",
    "unexpected pos ",
)
"""What libraries say that hide the error's number; the last two are torch's, of a file that it could not write on."""


def is_disk_full(error: BaseException) -> bool:
    """Whether a write failed for want of space, whoever wrote."""
    if isinstance(error, OSError) and error.errno in _FULL:
        return True
    return any(sign in str(error) for sign in _SIGNS)


def note_sizes(folder: Path) -> None:
    """Take down what a folder has, once it is whole."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    noted = {p.relative_to(folder).as_posix(): {"bytes": p.stat().st_size, "crc32": _checksum(p)} for p in paths}
    write_atomically(folder / SIZES_FILE, json.dumps(noted, indent=2, sort_keys=True) + "\n")


def damage(folder: Path) -> str | None:
    """What of a checkpoint is not as it was noted; None if it is whole.

    transformers writes `trainer_state.json` after the rest, so where nothing is noted a readable one tells enough.
    """
    try:
        json.loads((folder / "trainer_state.json").read_bytes())
        noted = json.loads((folder / SIZES_FILE).read_bytes()) if (folder / SIZES_FILE).exists() else {}
    except (OSError, ValueError):
        return "it was being written when its process died"
    for name, each in noted.items():
        path, size = folder / name, each if isinstance(each, int) else each["bytes"]
        if not path.is_file() or path.stat().st_size != size:
            return f"its {name} is not the {size} bytes that were written"
        if not isinstance(each, int) and _checksum(path) != each["crc32"]:
            return f"its {name} has other bytes than were written: the checksum differs"
    return None


def _checksum(path: Path) -> int:
    """CRC-32: against accidents, at the speed of a disk."""
    value = 0
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            value = zlib.crc32(piece, value)
    return value
