"""What hidden checks are written with: the `weight` marker, probes, statistics and comparisons."""

import pytest


def weight(points: float) -> pytest.MarkDecorator:
    """How much this check weighs within its question; cases of a parametrised check share it equally."""
    return pytest.mark.weight(points)
