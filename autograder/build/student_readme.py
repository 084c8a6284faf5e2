"""The README of a student bundle: the homework's own, with how to set up, work and hand in after its introduction."""

import re

from autograder.build.regions import BuildError
from autograder.build.tables import BEGIN, END, readme_with_table
from autograder.course import Course, Homework

STAFF_PART = re.compile(r"\n*<!-- staff -->.*?<!-- /staff -->", re.DOTALL)
TEMPLATE = """# {heading}

Due {due}.

{introduction}

## Set up

Python 3.11 or newer. In this folder:

```
python3 -m venv .venv
source .venv/bin/activate            # Windows: .venv\\Scripts\\activate
pip install -r requirements.txt
jupyter lab {name}.ipynb
```

On Colab: open `{name}.ipynb` there and upload `{name}.zip` to the session's files; the first code cell unpacks it.

## Work

- Every `raise NotImplementedError("TODO ...")` names its question and what to do. Put your code in its place.
- The cell after each answer is its public check. It is locked, answers at once, and finds slips of the pen. Your points
  come from further checks of the same properties on other inputs.
- Keep the names, arguments and shapes that the notebook states. You may add cells, functions and classes.
- Training cells run at the preset `small` (minutes on two CPU cores). `PRESET=smoke jupyter lab` runs them in seconds
  to see that they run, `PRESET=full` is for a GPU.

## Hand in

```
python -m common.submit {name}.ipynb --student YOUR_ID
```

It says what is missing, runs the public checks, renders your report and writes `{name}_YOUR_ID.zip`. Upload that file
on Blackboard.

{body}"""


def student_readme(course: Course, homework: Homework) -> str:
    """The homework's README without its staff parts, with the due date, and setting up and handing in by itself."""
    text = STAFF_PART.sub("", readme_with_table(homework)).replace(f"{BEGIN}\n", "").replace(f"\n{END}", "")
    if "<!-- staff" in text or "<!-- /staff" in text:
        raise BuildError(f"{homework.path / 'README.md'}: a staff part needs <!-- staff --> and <!-- /staff -->")
    title, _, body = text.lstrip().partition("\n")
    if not title.startswith("# "):
        raise BuildError(f"{homework.path / 'README.md'}: must open with a title line, `# ...`")
    heading = f"{homework.name.upper()} {homework.title}"
    if code := course.settings.get("code"):
        heading = f"{code} {heading}"
    due = f"{homework.due:%A} {homework.due.day} {homework.due:%B %Y, %H:%M} ({course.settings['timezone']})"
    introduction, *sections = re.split(r"^(?=## )", body.strip() + "\n", flags=re.MULTILINE)
    return TEMPLATE.format(
        heading=heading, due=due, name=homework.name, introduction=introduction.strip(), body="".join(sections)
    )
