"""What a page of metrics says, whatever family a sample is of."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample


def samples(page: str) -> Iterator[Sample]:
    """Each, in the order of the page."""
    return (sample for family in text_string_to_metric_families(page) for sample in family.samples)
