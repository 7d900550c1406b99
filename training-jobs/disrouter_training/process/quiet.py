"""Silence for libraries that would talk over the progress lines."""

from __future__ import annotations

import logging
import os
import sys
import warnings

import transformers


def quiet_libraries() -> None:
    """Leave stderr to our own lines; errors still come as exceptions.

    The warnings left out are about releases of trl and transformers to come, which the pinned versions answer for.
    """
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")  # read when it is imported
    if "datasets" in sys.modules:
        sys.modules["datasets"].disable_progress_bars()
    logging.getLogger("accelerate").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"(trl|transformers|accelerate)\.")
