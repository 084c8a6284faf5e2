"""Hand in a homework: `python -m common.submit hw1.ipynb --student NAME`.

Looks for what is missing, runs the public checks in a process of their own, renders the notebook with its report, and
writes one zip. It finds the questions in the notebook itself, by the tags and ids that every starter carries.
"""
