"""PRESET names the scale of a notebook, and a wrong name is an error."""

import pytest

from common import training


def test_preset_comes_from_the_environment(monkeypatch):
    assert training.preset() == "small"
    for name, value in (("smoke", 1), ("small", 2), ("full", 3)):
        monkeypatch.setenv("PRESET", name)
        assert (training.preset(), training.by_preset(smoke=1, small=2, full=3)) == (name, value)


@pytest.mark.parametrize("value", ["tiny", "SMALL", "small "])
def test_a_wrong_preset_is_an_error(monkeypatch, value):
    monkeypatch.setenv("PRESET", value)
    with pytest.raises(ValueError, match=r"PRESET.*smoke.*small.*full"):
        training.by_preset(smoke=1, small=2, full=3)
