"""Hostile and broken zips: nothing is written outside the folder, nothing beyond the limits, nothing is lost."""

import os
import stat
import struct
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autograder.collect.archives import Budget, safe_name, unpack


def zipped(path: Path, entries: list[tuple[str | zipfile.ZipInfo, bytes]]) -> bytes:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return path.read_bytes()


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@given(st.text(max_size=40))
def test_a_safe_name_never_leads_out(name):
    path = safe_name(name)
    if path is not None:
        assert (Path("/base") / path).resolve().is_relative_to("/base")
        assert Path(os.path.normpath(Path("/base") / path)).is_relative_to("/base")


def link(name: str, target: str) -> tuple[zipfile.ZipInfo, bytes]:
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info, target.encode()


def open_zip(tmp_path: Path, entries, budget: Budget | None = None) -> tuple[list[str], dict[str, bytes]]:
    zipped(tmp_path / "evil.zip", entries)
    notes = unpack(tmp_path / "evil.zip", tmp_path / "a" / "b", budget or Budget())
    outside = {name for name in tree(tmp_path) if not name.startswith("a/b/")}
    assert outside == set(), "something was written outside the folder"
    assert not any(p.is_symlink() for p in tmp_path.rglob("*"))
    return notes, tree(tmp_path / "a" / "b")


LEAD_OUT = ["../x", "../../x", "/etc/x", "a/../../x", "..\\x", "C:\\x", "C:x", "a/" * 30 + "x", "x" * 300, "a\nb"]


@pytest.mark.parametrize("name", LEAD_OUT)
def test_entries_that_lead_out_are_left_out_and_named(tmp_path, name):
    notes, found = open_zip(tmp_path, [(name, b"evil"), ("hw1.ipynb", b"good")])
    assert found == {"hw1.ipynb": b"good"}
    assert len(notes) == 1
    assert "left out" in notes[0]


def test_links_are_left_out_also_as_folders_of_later_entries(tmp_path):
    notes, found = open_zip(tmp_path, [link("out", "/tmp"), ("out/x", b"evil"), link("hw1.ipynb", "/etc/passwd")])
    assert found == {"out/x": b"evil"}
    assert sum("is a link" in note for note in notes) == 2


def test_too_many_files_keep_the_zip_unopened(tmp_path):
    notes, found = open_zip(tmp_path, [(f"{n}.txt", b"") for n in range(10_000)])
    assert list(found) == ["evil.zip"]
    assert "too many files" in notes[0]


def test_a_bomb_is_stopped_by_the_bytes_that_come_out(tmp_path):
    notes, found = open_zip(tmp_path, [("bomb", b"\0" * 50_000_000)], Budget(total=10_000_000))
    assert list(found) == ["evil.zip"]
    assert "unpacks to more" in notes[0]


def test_a_bomb_that_lies_about_its_size_is_refused(tmp_path):
    data = bytearray(zipped(tmp_path / "evil.zip", [("bomb", b"\0" * 20_000_000)]))
    at = data.rfind(b"PK\x01\x02")
    struct.pack_into("<L", data, at + 24, 10)
    (tmp_path / "evil.zip").write_bytes(data)
    notes = unpack(tmp_path / "evil.zip", tmp_path / "a", Budget(total=10_000_000))
    assert list(tree(tmp_path / "a")) == ["evil.zip"]
    assert "kept unopened" in notes[0]


def test_zips_within_zips_share_one_budget(tmp_path):
    inner = zipped(tmp_path / "inner.zip", [("zeros", b"\0" * 6_000_000)])
    (tmp_path / "inner.zip").unlink()
    notes, found = open_zip(tmp_path, [("1.zip", inner), ("2.zip", inner)], Budget(total=10_000_000))
    assert sum(len(data) for data in found.values()) < 10_000_000
    assert any("unpacks to more" in note for note in notes)


@pytest.mark.parametrize("damage", ["truncated", "text", "encrypted", "list"])
def test_zips_that_cannot_be_read_are_kept_as_they_came(tmp_path, damage):
    data = bytearray(zipped(tmp_path / "evil.zip", [("hw1.ipynb", b"nb" * 1000)]))
    if damage == "truncated":
        data = data[:60]
    elif damage == "text":
        data = bytearray(b"hello")
    elif damage == "encrypted":
        at = data.rfind(b"PK\x01\x02")
        data[at + 8] |= 1
    else:
        at = data.rfind(b"PK\x05\x06")
        struct.pack_into("<L", data, at + 12, 2**31)
    (tmp_path / "evil.zip").write_bytes(data)
    notes = unpack(tmp_path / "evil.zip", tmp_path / "a", Budget())
    assert tree(tmp_path / "a") == {"evil.zip": bytes(data)}
    assert "kept unopened" in notes[0]
