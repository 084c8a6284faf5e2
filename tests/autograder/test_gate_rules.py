"""The gate's rules tell copies, markers and strange files from what stands in every homework."""

import pytest

from autograder.build.allowlist import figures_shown, is_allowed
from autograder.build.answers import TheoryAnswers
from autograder.build.markers import marker_remnant
from autograder.build.matching import CodeSecret, ProseSecret, Public, code_lines, prose_words


@pytest.mark.parametrize(
    "line",
    [
        "### BEGIN SOLUTON", "### BEGIN SOULTION: x", "# begin solution", "## BEGN SOLUTION", "x = 1  ### END SOLUTION",
        "### END", "### BEGIN", "### END SOLUTION ###", "#### SOLUTION", "### BEGIN HIDDEN TESTS", "### END HIDEN TEST",
        "END SOLUTION", "# BEGIN_SOLUTION", "### MARK SCHEME", "### MARKING SCHEME", "BEGIN MARK SCHEME",
        "###END SOLUTION",
    ],
)  # fmt: skip
def test_remnants_of_markers_are_seen(line: str):
    assert marker_remnant(line)


@pytest.mark.parametrize(
    "line",
    [
        "", "# The solution", "## Solutions of the equation", "### End of part one", "### Begin with the chain rule",
        "# end", "return x  # END", "### MADE", "### Mask A", "### Testing", "at the end, solutions differ",
        "# Send solutions",
        "### GPT", "### The beginning", 'raise NotImplementedError("TODO q1: begin")', "# mark the scheme you use",
    ],
)  # fmt: skip
def test_ordinary_lines_are_no_markers(line: str):
    assert not marker_remnant(line)


ORDINARY = """
    super().__init__()
    self.num_levels = num_levels
    for i in range(n):
    return x
    h = F.relu(layer(h))
    def forward(self, x: Tensor) -> Tensor:
    x = x.to(device)
    loss.backward()
    if y is None:
    else:
    logits = self.logits(x)
    import torch
"""


@pytest.mark.parametrize("line", [line.strip() for line in ORDINARY.strip().splitlines()])
def test_an_ordinary_line_is_no_copy(line: str):
    solution = f"{line}\nmask = (rank[:, None] > degrees[None, :]).repeat_interleave(num_levels, dim=0)\nreturn mask"
    secret = CodeSecret("a solution", tuple(code_lines(solution)), whole=True)
    assert not secret.copied(Public(f"a = 1\n{line}\nb = 2"))
    assert secret.copied(Public(f"a = 1\n  {solution.splitlines()[1].replace(', ', ',')}  # so"))


@pytest.mark.parametrize("line", ["return x", "return self.net(x)", "x = 1"])
def test_a_region_of_one_ordinary_line_is_no_copy(line: str):
    assert not CodeSecret("a solution", tuple(code_lines(line)), whole=True).copied(Public(line))


def test_short_regions_count_as_a_whole():
    line = "return torch.bincount(x, minlength=num_levels) / len(x)"
    secret = CodeSecret("a solution", tuple(code_lines(line)), whole=True)
    assert secret.copied(Public(f"def f(x):\n    # {line}   # so"))


def test_formulas_and_common_phrases_are_no_copies():
    secret = ProseSecret(
        "the key", tuple(prose_words("p(x1, x2) = p(x1) p(x2 | x1) holds in every order of the variables"))
    )
    assert not secret.copied(Public("As p(x1, x2) = p(x1) p(x2 | x1), every order of the variables is fine"))
    assert secret.copied(Public("it HOLDS in *every* order\nof the variables."))


def test_only_names_on_the_list_are_allowed():
    figures = figures_shown(
        '![a](figures/a.png) <img width=3 src="figures/b.svg"> ![c](https://x.org/c.png) ![d](../d.png)'
    )
    assert figures == {"figures/a.png", "figures/b.svg"}
    allowed = [
        "hw1.ipynb",
        "README.md",
        "requirements.txt",
        "common/__init__.py",
        "common/data/images.py",
        "figures/a.png",
    ]
    allowed += ["common/data/assets/fashion_mnist.npz", "common/data/assets/LICENSE", "common/data/assets/LICENSES.md"]
    refused = [
        "hw2.ipynb",
        "x/README.md",
        "common/data/x.npz",
        "common/a.txt",
        "common/.env",
        "common/data/assets/a.pt",
    ]
    refused += [
        "common/assets/features_grading.npz",
        "common/heldout/a.py",
        "common/hidden.py",
        "tests/common/test_x.py",
    ]
    assert all(is_allowed(path, "hw1.ipynb", figures) for path in allowed)
    assert not any(is_allowed(path, "hw1.ipynb", figures) for path in refused)


@pytest.fixture
def answers() -> TheoryAnswers:
    found = TheoryAnswers()
    found.add(
        "scratch = 3\nt1_count: int = 128_256 * scratch\nt2_share, t2_letter = 1 / 3, 'C'\nt3_table = [[1, 0], [2, 1]]"
    )
    found.add("t4_width = receptive_field(5)")
    return found


@pytest.mark.parametrize(
    "text, given",
    [
        ("t1_count = 5", ["t1_count"]),
        ("#  t2_letter='B'", ["t2_letter"]),
        ("x, t2_share = 1, 2", ["t2_share"]),
        ("for t4_width in range(9): pass", ["t4_width"]),
        ("if (t4_width := 3) > 2: pass", ["t4_width"]),
        ("t4_width += 1", ["t4_width"]),
        ("set `t2_letter` = C", ["t2_letter"]),
        ("384,768 parameters, 384_768, 384768", ["t1_count"]),
        ("about .33333 of them", ["t2_share"]),
        ("the table is [[1, 0],\n [2, 1]]", ["t3_table"]),
        ("t1_count = ...", []),
        ('t2_letter = "..."  # a letter', []),
        ("t3_table = [[...], ...]", []),
        ("t4_width = None", []),
        ("assert t1_count == 5 and t1_count >= 3 and t1_count != 4", []),
        ("print(t2_share, t2_letter)", []),
        ("scratch = 3", []),
        ("1384768 and 38476 and 0.3323 and 10.3333", []),
        ("[[1, 0], [2, 2]]", []),
    ],
)
def test_theory_answers_are_seen_where_they_are_given(answers: TheoryAnswers, text: str, given: list[str]):
    assert answers.given_by(text) == given
