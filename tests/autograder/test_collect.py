"""Collecting: Blackboard's names are understood, the newest attempt counts, and hostile zips harm nobody."""

import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from nbgrader.utils import parse_utc

from autograder.collect import CollectError, collect
from autograder.collect.names import (
    ATTEMPT,
    BlackboardName,
    find_column,
    parse_name,
    read_timestamp,
    student_id,
    timestamp_text,
    to_utc,
)
from autograder.course import Course, Homework

SEOUL = ZoneInfo("Asia/Seoul")
PARTS = st.text(st.sampled_from("aZ9 _-.한글@()"), min_size=1, max_size=12)
TIMES = st.datetimes(datetime(2000, 1, 1), datetime(2099, 12, 31)).map(lambda t: t.replace(microsecond=0))


@pytest.fixture
def course(tmp_path) -> Course:
    now = datetime(2024, 3, 24, tzinfo=UTC)
    homework = Homework("hw1", tmp_path / "hw1_x", "X", (), now, now)
    return Course(tmp_path, tmp_path / "course", {"timezone": "Asia/Seoul"}, (homework,))


def download(path: Path, files: dict[str, bytes | str]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def zipped(path: Path, entries: list[tuple[str | zipfile.ZipInfo, bytes]]) -> bytes:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return path.read_bytes()


def run(course: Course, path: Path, **more):
    return collect(course, course.homeworks[0], path, **more)


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


# --- names ---


@given(PARTS, PARTS, TIMES, st.none() | PARTS)
def test_names_round_trip_when_the_column_is_known(column, user, submitted, file):
    name = BlackboardName(column, user, submitted, file)
    assume(ATTEMPT.search(f"{user}_attempt_x") is None)
    assert parse_name(str(name), column) == name


@given(PARTS, st.lists(PARTS, min_size=1, max_size=5, unique=True), TIMES)
def test_the_column_is_found_from_the_users_that_the_texts_name(column, users, submitted):
    names = [str(BlackboardName(column, user, submitted, "hw1.ipynb")) for user in users]
    found = find_column(names, users)
    assert [parse_name(name, found).user for name in names] == users or any(
        f"{column}_{user}".endswith(f"_{other}") for user in users for other in users if user != other
    )


@pytest.mark.parametrize("users", [["j_smith", "a.b-c"], ["kim", "lee_2"], ["20241234", "20249999"]])
def test_underscores_and_dots_in_users_survive_without_texts(users):
    names = [f"HW_1 AR_{user}_attempt_2024-03-24-10-00-00_hw1.ipynb" for user in users]
    column = find_column(names)
    assert [parse_name(name, column).user for name in names] == users


@given(TIMES)
def test_times_are_the_same_instant_in_nbgraders_eyes(submitted):
    instant = to_utc(submitted, SEOUL)
    assert instant == submitted.replace(tzinfo=SEOUL)
    assert parse_utc(timestamp_text(instant)).replace(tzinfo=UTC) == instant
    assert read_timestamp(timestamp_text(instant)) == instant


def test_a_winter_and_a_summer_time_differ_where_clocks_change():
    zone = ZoneInfo("America/New_York")
    winter, summer = (to_utc(datetime(2024, month, 10, 12), zone) for month in (1, 7))
    assert (winter.hour, summer.hour) == (17, 16)


def test_midnight_is_one_second_after_the_last_second_of_the_day():
    early, late = datetime(2024, 3, 24, 23, 59, 59), datetime(2024, 3, 25)
    assert to_utc(late, SEOUL) - to_utc(early, SEOUL) == timedelta(seconds=1)


@pytest.mark.parametrize(
    "name",
    ["HW1_kim_attempt_2024-13-01-00-00-00_a", "HW1_kim_2024-03-01-00-00-00_a", "HW2_kim_attempt_2024-03-01-00-00-00_a",
     "HW1_kim_attempt_2024-03-01-00-00-00", "HW1_kim_attempt_2024-3-1-0-0-0_a", "grades.csv"],
)  # fmt: skip
def test_other_names_are_refused_with_a_sentence(name):
    with pytest.raises(ValueError, match=r"HW|grades"):
        parse_name(name, "HW1")


@pytest.mark.parametrize("user", ["..", ".", "a/b", "a\\b", "", "a b", "-x" * 40, "a\x00b", ".hidden", "../../etc"])
def test_users_that_are_no_folder_names_are_refused(user):
    with pytest.raises(ValueError, match="student's id"):
        student_id(user)


# --- collecting ---


INFO = "Name: Kim Minji (j_smith)\nAssignment: HW1\nDate Submitted: Sunday\n\nComments:\nhello\n"


def test_newest_attempt_wins_in_utc_and_a_second_run_changes_nothing(course, tmp_path):
    path = download(tmp_path / "bb.zip", {
        "HW1_j_smith_attempt_2024-03-24-08-59-59_hw1.ipynb": "old",
        "HW1_j_smith_attempt_2024-03-24-08-59-59.txt": INFO,
        "HW1_j_smith_attempt_2024-03-24-09-00-00_my work.ipynb": "new",
        "HW1_j_smith_attempt_2024-03-24-09-00-00.txt": INFO,
        "HW1_a.b-c_attempt_2024-03-25-00-00-00_hw1.ipynb": "other",
    })  # fmt: skip
    report = run(course, path, roster=["j_smith", "ghost"])
    assert (report.new, report.odd, report.missing, report.unknown) == (["a.b-c", "j_smith"], [], ["ghost"], ["a.b-c"])
    assert report.text == "2 new, 0 updated, 0 unchanged\nghost: has not handed in\na.b-c: is not on the roster"
    folder = course.work / "submitted/j_smith/hw1"
    assert (folder / "my work.ipynb").read_text() == "new"
    assert not (folder / "hw1.ipynb").exists()
    assert (folder / "timestamp.txt").read_text() == "2024-03-24 00:00:00.000000 UTC"
    before = {p: p.stat().st_mtime_ns for p in course.work.rglob("*") if p.is_file()}
    again = run(course, path)
    assert (again.new, again.updated, again.unchanged) == ([], [], ["a.b-c", "j_smith"])
    assert before == {p: p.stat().st_mtime_ns for p in course.work.rglob("*") if p.is_file()}


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_downloads_in_any_order_end_the_same(course, tmp_path, order):
    files = [f"HW1_kim_attempt_2024-03-2{day}-10-00-00_hw1.ipynb" for day in (1, 2)]
    paths = [download(tmp_path / f"{n}.zip", {file: file}) for n, file in enumerate(files)]
    reports = [run(course, paths[n]) for n in order]
    assert (course.work / "submitted/kim/hw1/hw1.ipynb").read_text() == files[1]
    assert (reports[1].updated, reports[1].older) == ((["kim"], []) if order == (0, 1) else ([], ["kim"]))


def test_zips_are_unpacked_and_a_forged_time_does_not_count(course, tmp_path):
    inner = zipped(
        tmp_path / "in.zip", [("hw1.ipynb", b"nb"), ("artifacts/e1.safetensors", b"w"), ("timestamp.txt", b"2000")]
    )
    path = download(tmp_path / "bb.zip", {"HW1_kim_attempt_2024-03-24-09-00-00_hw1_kim.zip": inner})
    assert run(course, path).odd == []
    found = tree(course.work / "submitted/kim/hw1")
    assert set(found) == {"hw1.ipynb", "artifacts/e1.safetensors", "timestamp.txt"}
    assert found["timestamp.txt"] == b"2024-03-24 00:00:00.000000 UTC"


def test_an_attempt_without_files_does_not_hide_an_earlier_one(course, tmp_path):
    path = download(tmp_path / "bb.zip", {
        "HW1_j_smith_attempt_2024-03-24-08-00-00_hw1.ipynb": "work",
        "HW1_j_smith_attempt_2024-03-24-09-00-00.txt": INFO,
        "HW1_lee_attempt_2024-03-24-09-00-00.txt": "Name: Lee (lee)\n",
    })  # fmt: skip
    report = run(course, path)
    assert report.new == ["j_smith"]
    assert [sentence.split(":")[0] for sentence in report.odd] == ["j_smith", "lee"]


def test_korean_names_in_zips_without_utf8_flag(course, tmp_path):
    info = zipfile.ZipInfo("hw1.ipynb")
    inner = bytearray(zipped(tmp_path / "in.zip", [(info, b"nb"), ("xxxx.txt", b"t")]))
    inner = bytes(inner).replace(b"xxxx.txt", "과제".encode("cp949") + b".txt")
    path = download(tmp_path / "bb.zip", {"HW1_kim_attempt_2024-03-24-09-00-00_z.zip": inner})
    run(course, path)
    assert "과제.txt" in tree(course.work / "submitted/kim/hw1")


def test_a_folder_of_submissions_and_an_unzipped_download(course, tmp_path):
    folder = tmp_path / "in"
    (folder / "kim" / "hw1").mkdir(parents=True)
    (folder / "kim/hw1/hw1.ipynb").write_text("k")
    (folder / "kim/hw1/timestamp.txt").write_text("2024-03-01 00:00:00.000000 UTC")
    zipped(folder / "hw1_lee.zip", [("hw1.ipynb", b"l")])
    (folder / "bad name").mkdir()
    report = run(course, folder)
    assert report.new == ["kim", "lee"]
    assert report.odd[0].startswith("bad name")
    assert (course.work / "submitted/kim/hw1/timestamp.txt").read_text().startswith("2024-03-01")
    flat = tmp_path / "flat"
    flat.mkdir()
    (flat / "HW1_park_attempt_2024-03-24-09-00-00_hw1.ipynb").write_text("p")
    assert run(course, flat).new == ["park"]


@pytest.mark.parametrize("name", ["nothing.zip", "text.zip", "empty.zip", "foreign.zip", "emptyfolder"])
def test_a_download_that_is_none_is_refused_with_a_sentence(course, tmp_path, name):
    (tmp_path / "text.zip").write_text("no zip")
    (tmp_path / "emptyfolder").mkdir()
    download(tmp_path / "empty.zip", {})
    download(tmp_path / "foreign.zip", {"grades.csv": "1"})
    with pytest.raises(CollectError, match=r"zip|Blackboard|submissions"):
        run(course, tmp_path / name)


def test_one_broken_file_does_not_stop_the_class(course, tmp_path):
    path = download(tmp_path / "bb.zip", {
        "HW1_kim_attempt_2024-03-24-09-00-00_hw1.ipynb": "UNIQUE CONTENT",
        "HW1_lee_attempt_2024-03-24-09-00-00_hw1.ipynb": "fine",
        "HW1_.._attempt_2024-03-24-09-00-00_hw1.ipynb": "escape",
        "HW1_bad_attempt_2024-99-24-09-00-00_hw1.ipynb": "odd",
    })  # fmt: skip
    data = path.read_bytes()
    path.write_bytes(data.replace(b"UNIQUE CONTENT", b"UNIQUE_CONTENT", 1))  # the checksum no longer fits
    report = run(course, path)
    assert report.new == ["lee"]
    assert any(sentence.startswith("kim") for sentence in report.odd)
    assert len(report.odd) == 3
    assert sorted(p.name for p in course.work.iterdir()) == ["submitted"]


def test_killed_between_the_two_renames_the_old_folder_comes_back(course, tmp_path):
    path = download(tmp_path / "bb.zip", {"HW1_lee_attempt_2024-03-24-09-00-00_hw1.ipynb": "fine"})
    old = course.work / ".collecting" / "hw1@kim@x@old"
    old.mkdir(parents=True)
    (old / "hw1.ipynb").write_text("kept")
    run(course, path)
    assert (course.work / "submitted/kim@x/hw1/hw1.ipynb").read_text() == "kept"
