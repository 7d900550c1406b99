"""What heads are made of."""

from __future__ import annotations

import time
from email.utils import formatdate

import pytest

from disrouter_sidecar.http.encode import http_date


@pytest.mark.parametrize("moment", [0, 951_782_399, 1_764_457_445, *range(1_700_000_000, 1_735_000_000, 2_345_678)])
def test_a_date_is_as_the_standard_library_says_it(moment: int) -> None:
    assert http_date(time.gmtime(moment)) == formatdate(moment, usegmt=True)
