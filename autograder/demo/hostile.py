"""Attacks that work on graders that run tests beside the student's code: (what, question, source added to its cell)."""

ATTACKS = (
    (
        "values that compare equal to everything",
        "q1_histogram",
        '''
import torch
class Agreeable(torch.Tensor):
    __eq__ = __ne__ = __lt__ = __le__ = lambda self, other: True
    def __torch_function__(self, func, types, args=(), kwargs=None):
        return True
def fit_histogram(x, num_levels):
    return torch.zeros(num_levels).as_subclass(Agreeable)
''',
    ),
    (
        "reads checks, environment and neighbours, forges messages",
        "q1_histogram",
        '''
import glob, os, sys, threading
LOOT = [open(path, errors="ignore").read() for path in glob.glob("/**/test_q*.py", recursive=True)[:50]]
LOOT += [str(os.environ), str(sys._current_frames())]
def scribble():
    for descriptor in range(3, 64):
        try:
            os.write(descriptor, b"\\x00\\x00\\x00\\x05\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00[1.0]")
        except OSError:
            pass
def fit_histogram(x, num_levels):
    scribble()
    return x
''',
    ),
    (
        "ends the process, eats memory, forks, never returns",
        "q7_attention",
        '''
import os
def fit_histogram(x, num_levels):
    os._exit(0)
def causal_attention(q, k, v, past_length=0):
    while True:
        try:
            os.fork()
        except OSError:
            pass
''',
    ),
)
