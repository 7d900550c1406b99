"""Silence for libraries that would talk over the progress lines."""

from __future__ import annotations

import logging
import warnings

import datasets
import transformers


def quiet_libraries() -> None:
    """Leave stderr to our own lines; errors still come as exceptions.

    The warnings left out are about releases of trl and transformers to come, which the pinned versions answer for.
    """
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    datasets.disable_progress_bars()
    logging.getLogger("accelerate").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"(trl|transformers|accelerate)\.")
