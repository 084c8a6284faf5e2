"""The student bundle: an allow-list of files, the same bytes each time, and nothing written when it is refused."""

import re
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest

from autograder.build import BuildError, build, release, starter_notebook
from autograder.build.strip import notebook_text
from autograder.course import Course, load_course

BUNDLE = [
    "README.md", "common/__init__.py", "common/counting.py", "common/data/assets/LICENSES.md",
    "common/data/assets/tiny.npz", "figures/bars.png", "hw1.ipynb", "requirements.txt",
]  # fmt: skip


def released(course: Course, out: Path) -> Path:
    return release(course, course.homework("hw1"), out)


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_folder_and_zip_hold_the_same_allowed_files(small_course: Course, tmp_path: Path):
    archive = released(small_course, tmp_path / "out")
    assert archive == tmp_path / "out" / "hw1.zip"
    assert files(tmp_path / "out" / "hw1") == BUNDLE
    with zipfile.ZipFile(archive) as opened:
        assert opened.namelist() == [f"hw1/{name}" for name in BUNDLE]
        for name in BUNDLE:
            assert opened.read(f"hw1/{name}") == (tmp_path / "out" / "hw1" / name).read_bytes()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["hw1", "hw1.zip"]


def test_two_releases_are_equal_byte_for_byte(small_course: Course, tmp_path: Path):
    first = released(small_course, tmp_path / "a").read_bytes()
    for path in small_course.root.rglob("*.py"):
        path.touch()
        path.chmod(0o600)
    assert released(small_course, tmp_path / "b").read_bytes() == first
    assert released(small_course, tmp_path / "a").read_bytes() == first, "and over an older bundle"


def test_zip_entries_are_plain_readable_files_without_times(small_course: Course, tmp_path: Path):
    with zipfile.ZipFile(released(small_course, tmp_path)) as opened:
        for info in opened.infolist():
            assert info.date_time == (1980, 1, 1, 0, 0, 0)
            assert stat.S_IMODE(info.external_attr >> 16) == 0o644


def test_caches_and_staff_only_parts_stay_at_home(small_course: Course, tmp_path: Path):
    common = small_course.root / "common"
    for name in ("__pycache__/counting.pyc", "grading/net.py", "data/assets/features_grading.safetensors"):
        (common / name).parent.mkdir(exist_ok=True)
        (common / name).write_bytes(b"x")
    released(small_course, tmp_path / "out")
    assert files(tmp_path / "out" / "hw1") == BUNDLE


def test_anything_odd_in_common_stops_the_release(small_course: Course, tmp_path: Path):
    (small_course.root / "common/answers.json").write_text("{}", encoding="utf-8")
    (small_course.root / "common/more.py").symlink_to(small_course.root / "hw1_counting/solution.py")
    with pytest.raises(BuildError, match="not released") as caught:
        released(small_course, tmp_path / "out")
    assert "common/answers.json: is an unexpected file" in str(caught.value)
    assert "common/more.py: is a link" in str(caught.value)


def test_readme_tells_students_how_to_work_and_nothing_of_the_staff(small_course: Course, tmp_path: Path):
    released(small_course, tmp_path / "out")
    text = (tmp_path / "out/hw1/README.md").read_text(encoding="utf-8")
    opening = "# AI 1 HW1 Counting\n\nDue Sunday 24 March 2024, 23:59 (Asia/Seoul).\n\nWhat it teaches: counting."
    assert text.startswith(opening)
    headings = re.findall(r"^## (.*)", text, re.MULTILINE)
    assert headings == ["Set up", "Work", "Hand in", "Questions"]
    for line in ("pip install -r requirements.txt", "python -m common.submit hw1.ipynb --student YOUR_ID"):
        assert line in text
    assert "| Q1 A counter | `q1_counter` | 50 | 90 min |" in text
    assert "staff" not in text
    assert "Bands were measured" not in text
    students = (tmp_path / "out/hw1/requirements.txt").read_text(encoding="utf-8")
    assert "numpy==2.4.6" in students
    assert "nbgrader" not in students


def test_nbgrader_gets_the_released_notebook(small_course: Course, tmp_path: Path):
    released(small_course, tmp_path / "out")
    text = (tmp_path / "out/hw1/hw1.ipynb").read_text(encoding="utf-8")
    assert text == notebook_text(starter_notebook(small_course.homework("hw1")))
    for stage in ("source", "release"):
        assert (small_course.work / stage / "hw1/hw1.ipynb").read_text(encoding="utf-8") == text


# Refusals: a sentence, and nothing written


def refused(course: Course, out: Path, message: str) -> None:
    with pytest.raises(BuildError, match=message):
        released(course, out)
    assert not (out / "hw1.zip").exists()


def test_a_starter_out_of_step_is_refused(small_course: Course, tmp_path: Path):
    solution = small_course.homework("hw1").solution
    solution.write_text(solution.read_text(encoding="utf-8").replace("to count.", "to count well."), encoding="utf-8")
    refused(small_course, tmp_path / "out", r"hw1.ipynb is not what its source builds: run `autograder build`")


def test_a_missing_figure_is_refused(small_course: Course, tmp_path: Path):
    (small_course.root / "hw1_counting/figures/bars.png").unlink()
    refused(small_course, tmp_path / "out", r"figures/bars.png is missing")


def test_an_unclosed_staff_part_is_refused(small_course: Course, tmp_path: Path):
    readme = small_course.root / "hw1_counting/README.md"
    readme.write_text(readme.read_text(encoding="utf-8").replace("<!-- /staff -->", ""), encoding="utf-8")
    refused(small_course, tmp_path / "out", r"README.md: a staff part needs <!-- staff --> and <!-- /staff -->")


def test_a_folder_that_is_no_bundle_is_not_overwritten(small_course: Course, tmp_path: Path):
    (tmp_path / "out/hw1").mkdir(parents=True)
    (tmp_path / "out/hw1/thesis.tex").write_text("mine", encoding="utf-8")
    refused(small_course, tmp_path / "out", "exists and is no bundle of hw1")
    assert (tmp_path / "out/hw1/thesis.tex").read_text(encoding="utf-8") == "mine"


def test_points_stay_once_students_have_handed_in(small_course: Course, tmp_path: Path):
    released(small_course, tmp_path / "first")
    rubric = small_course.root / "hw1_counting/rubric.toml"
    text = rubric.read_text(encoding="utf-8").replace("points = 50", "points = 45")
    rubric.write_text(re.sub(r"(Pairs\"\npoints = )10", r"\g<1>15", text), encoding="utf-8")
    changed = load_course(small_course.root, small_course.work)
    build(changed)
    released(changed, tmp_path / "second")
    shutil.copytree(small_course.work / "release/hw1", small_course.work / "submitted/kim/hw1")
    released(changed, tmp_path / "third")
    rubric.write_text(text.replace("points = 45", "points = 50"), encoding="utf-8")
    changed_back = load_course(small_course.root, small_course.work)
    build(changed_back)
    refused(changed_back, tmp_path / "fourth", r"ids and points must stay as released: q1_counter, t1_pairs")


# The real homework


@pytest.fixture(scope="module")
def real_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("release")
    course = load_course(work=out / "course")
    release(course, course.homework("hw1"), out)
    return out / "hw1"


def test_the_real_bundle_holds_what_a_student_needs(real_bundle: Path):
    found = files(real_bundle)
    assert {"hw1.ipynb", "README.md", "requirements.txt", "common/submit/__main__.py"} <= set(found)
    assert not [name for name in found if re.search(r"solution|rubric|test_|mutants|variants|heldout", name)]


def test_the_real_bundle_works_alone(real_bundle: Path, tmp_path: Path):
    """In a folder of its own, set-up and hand-in run with the bundle's own common/, not with the repository's."""
    home = shutil.copytree(real_bundle, tmp_path / "home")
    cells = nbformat.read(home / "hw1.ipynb", as_version=4).cells
    setup = "\n".join(cell.source for cell in cells if cell.metadata.get("tags") == ["setup"])
    program = f"""import runpy, sys
sys.path.insert(0, '.')
{setup}
import common
print(common.__file__)
sys.argv[1:] = ['--help']
runpy.run_module('common.submit', run_name='__main__')"""
    run = subprocess.run([sys.executable, "-P", "-c", program], cwd=home, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert str(home) in run.stdout
    assert "usage: python -m common.submit" in run.stdout
