"""One trainer a run: two that write one directory would mix their shards and checkpoints."""

from __future__ import annotations

import errno
import fcntl
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from disrouter_training.errors import RunBusy
from disrouter_training.process.progress import Say

LOCK_FILE = ".lock"
"""In the run's directory; its text says who holds it. The lock ends with its holder, however that ends."""
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


@contextmanager
def only_trainer(directory: Path, say: Say) -> Iterator[None]:
    """Keep other trainers out of a run's directory. Raises RunBusy, which names the one that is in it."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / LOCK_FILE).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read(200).strip() or "another process"
            raise RunBusy(f"{directory} is being trained by {holder}; wait for its end or stop it") from None
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            say(f"the file system of {directory} has no locks: start no second trainer on this run")
        file.truncate(0)
        file.write(f"pid {os.getpid()} on {platform.node()}\n")
        file.flush()
        yield
