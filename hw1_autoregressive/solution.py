# %% [markdown]
# # HW1 Autoregressive models
#
# Every distribution over many variables is a product of distributions over one variable each:
#
# $$p(x_1, \dots, x_D) = \prod_{d=1}^{D} p(x_d \mid x_1, \dots, x_{d-1}).$$
#
# An autoregressive model takes this chain rule literally. A network reads the variables before $x_d$ and returns a
# distribution over $x_d$. So the likelihood is exact, training is plain maximum likelihood, and a sample is drawn one
# variable after the other. You build four such models, each with its own way to see the past and nothing else: a single
# variable, MADE (masked matrices), PixelCNN (masked convolutions), and GPT (masked attention).
#
# **After this homework you can**
# - write a model as a product of conditionals, and know what the order of the variables does and does not change;
# - compute exact likelihoods in a stable way, and compare them in bits per dimension with a floor and a baseline;
# - put independence into an architecture by masks, and prove by experiment that nothing leaks;
# - say what sampling costs, and make it cheap with a cache;
# - tell apart what a likelihood shows about a model and what only its samples show.
#
# <!-- questions -->
#
# **Reading.** Tomczak, *Deep Generative Modeling*, chapter 2. Murphy, *Probabilistic Machine Learning: Advanced
# Topics*, chapter 22. Papers: Germain 2015 (MADE, arXiv:1502.03509), van den Oord 2016 (PixelCNN, 1601.06759; gated
# PixelCNN, 1606.05328), Salimans 2017 (PixelCNN++, 1701.05517), Radford 2019 (GPT-2), Chen 2020 (iGPT). Each question
# names its section.
#
# **How to work.** Each question explains, gives the interface, and leaves you a `raise NotImplementedError("TODO ...")`
# to replace. The cell after it is a public check: it answers in under a second and catches slips. Your points come from
# further checks of the same properties on other inputs, so test more than the public check does. You may add functions,
# classes and cells; keep the names, arguments and shapes that are given, and leave the check cells as they are. Plots
# and training stand in cells of their own, which are not run for grading: a class or function that a question needs
# belongs into the cell of that question.

# %% [markdown]
# ## Conventions
#
# These hold in all questions, and the checks rely on them.
#
# - Images are `(B, C, H, W)`. Discrete values are `int64` levels in `0..num_levels-1` ($K$ levels).
# - `log_prob(x)` returns `(B,)`: one number per example, in nats, summed over all dimensions. Bits per dimension are
#   for reports only.
# - `logits` are unnormalised log-probabilities: $p = \mathrm{softmax}(\text{logits})$ over the level axis.
# - Networks read a level $k$ as the number $2k/(K-1) - 1 \in [-1, 1]$ unless a question says otherwise.
# - Whatever draws takes `generator: torch.Generator | None = None` and uses it for *every* random number. Samples need
#   no gradient.
# - Code runs on the device its parameters are on, in float32; after `model.double()` in float64.
# - Save and load must work: everything that a module learns or masks with is a parameter or a buffer, or follows from
#   the constructor's arguments.

# %% [markdown]
# ## Set-up
#
# On your own machine: unpack the zip, install `requirements.txt`, start JupyterLab in the unpacked folder. On Colab:
# upload the zip of the homework to the session's files first; the cell below unpacks it.
#
# Training cells run at the preset `small` (the default): at most 3 minutes each on two CPU cores, about 15 minutes for
# the whole notebook. To see in about a minute that everything runs, start with the environment variable `PRESET=smoke`.
# With a GPU, `PRESET=full` trains larger models.

# %% tags=["experiment"]
import importlib.util
import os
import sys
import zipfile
from pathlib import Path

if "google.colab" in sys.modules and not Path("common").exists():
    if not Path("hw1").exists():
        zipfile.ZipFile("hw1.zip").extractall()
    os.chdir("hw1")
if importlib.util.find_spec("common") is None:
    raise SystemExit(f"There is no folder common in {Path.cwd()}: start Jupyter in the homework's folder.")

# %% tags=["setup"]
import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

# %% tags=["experiment"]
import time

import matplotlib.pyplot as plt

from common import artifacts
from common.data import avatars, counts, digits, fashion_mnist, to_levels
from common.metrics import nats_to_bits_per_dim
from common.plotting import plot_bars, plot_lines, plot_losses, show_images, show_mask, use_style
from common.seeding import generator, seed_everything
from common.training import by_preset, default_device, fit, preset

use_style()
SEED = 0                                                             # change it for the report's uncertainty
DEVICE = default_device()
fashion_train = to_levels(fashion_mnist("train").images, num_levels=4)          # (10000, 1, 28, 28) int64 in 0..3
fashion_test = to_levels(fashion_mnist("test").images, num_levels=4)            # (2000, 1, 28, 28)
avatars_train, avatars_test = avatars("train"), avatars("test")                 # 10000 and 1000 of 16 x 16 tokens
print(f"preset {preset()}, device {DEVICE}, torch {torch.__version__}")
show_images(fashion_train[:24], columns=12, num_levels=4, title="Fashion-MNIST at 2 bits", name="data_fashion")
show_images(avatars_train.images[:24], columns=12, title="Pixel avatars", name="data_avatars")

# %% [markdown] tags=["collaboration"]
# ## Honesty and collaboration
#
# You may discuss the homework. Code and text must be your own. Fill in before you hand in; "nobody" and "nothing" are
# fine answers.
#
# - Name and student number:
# - I discussed these questions with these people:
# - Sources beyond the reading, and tools that wrote or changed code or text of mine (which, and what for):
# - Everything else in this notebook is my own work (yes / no):

# %% [markdown]
# # Part 1. One variable
#
# ## Q1 Histogram (4 points, about 15 minutes)
#
# The smallest generative model: one discrete variable, one free probability per level. With $n_k$ of the $N$
# observations equal to $k$, the log-likelihood is $\sum_k n_k \log p_k$. Maximise it under $\sum_k p_k = 1$ (one
# Lagrange multiplier) and the answer is the histogram,
#
# $$\hat p_k = \frac{n_k}{N}.$$
#
# Source: Murphy 22.1; Tomczak 2.1. All later models approach, at each of their dimensions, what this one has.
#
# **Your job.** Complete `fit_histogram`. Every level gets a probability, also those that never occur and those above
# the largest value seen. Nothing is smoothed: a level that never occurs has probability 0.

# %% tags=["q1_histogram"]
def fit_histogram(x: Tensor, num_levels: int) -> Tensor:
    """Maximum likelihood estimate of a distribution over levels: p_k = (number of x equal to k) / N.

    x: (N,) int64 in 0..num_levels-1. Returns (num_levels,) float probabilities, 0 for a level that never occurs.
    """
    ### BEGIN SOLUTION: count the levels
    return torch.bincount(x, minlength=num_levels) / len(x)
    ### END SOLUTION

# %% tags=["check_q1_histogram"]
p = fit_histogram(torch.tensor([2, 0, 2, 3]), num_levels=4)
assert p.shape == (4,), "one probability per level"
assert p.is_floating_point(), "probabilities are floating-point numbers"
assert torch.allclose(p.double(), torch.tensor([1, 0, 2, 1]).double() / 4), "p_k is the share of the values equal to k"

# %% [markdown]
# How good is it? Below are 64 levels whose true distribution we know, so its entropy is a **floor**: no model has a
# lower expected cost on new data. A uniform guess, $\log_2 64 = 6$ bits, is the other end. We fit on only 300 values.
#
# **Expected.** On its own training data the histogram is *below* the floor, which is the sign of overfitting; on new
# data it costs infinitely many bits, since some level that it never saw does occur.

# %% tags=["experiment"]
truth = counts(num_levels=64)
few, fresh = truth.sample(300, generator(1)), truth.sample(20_000, generator(2))
histogram = fit_histogram(few, 64)


def bits(log_p: Tensor) -> float:
    """Mean cost in bits of log-probabilities in nats."""
    return float(nats_to_bits_per_dim(-log_p.mean(), 1))


print(f"floor (entropy) {nats_to_bits_per_dim(truth.entropy, 1):.3f} bits, uniform {math.log2(64):.3f} bits")
print(f"histogram: {bits(histogram.log()[few]):.3f} bits on its own values, {bits(histogram.log()[fresh])} on new ones")
print(f"{int((histogram == 0).sum())} of 64 levels were never seen")

# %% [markdown]
# ## T2 From nats to bits per dimension (1 point, about 5 minutes)
#
# Likelihoods of images are reported in bits per dimension: the cost in bits of one value of the image under an ideal
# code built from the model. A dimension is one value, so a pixel with three colours counts three times.
#
# A paper reports a mean negative log-likelihood of 6230.4 nats per image, for colour images of 32 x 32 pixels (3 x 32 x
# 32) with 256 levels. How many bits per dimension are that? Give a float that is right to within 0.005.
#
# Source: van den Oord 2016, arXiv:1601.06759, section 5.1; Murphy 20.4.

# %% tags=["t2_bits_per_dim"]
### BEGIN SOLUTION: t2_bits_per_dim_value = ... (a float)
t2_bits_per_dim_value = 6230.4 / (3 * 32 * 32 * math.log(2))
### END SOLUTION

# %% tags=["check_t2_bits_per_dim"]
assert isinstance(t2_bits_per_dim_value, float), "give a number with a decimal point, or an expression that computes it"
assert 0 < t2_bits_per_dim_value < 8, "256 levels need no more than 8 bits, by a uniform guess"

# %% [markdown]
# ## Q2 Discretised logistic mixture (8 points, about 60 minutes)
#
# A histogram knows nothing about order: level 17 and level 18 are as strange to it as 17 and 60. Levels of brightness
# are numbers, so put a smooth density under them. PixelCNN++ takes a mixture of logistic distributions, because its
# cumulative distribution function is a sigmoid, and the probability of a *bin* is then a difference of two sigmoids.
# Level $k$ sits at $t_k = 2k/(K-1) - 1$, bins are $2h$ wide with $h = 1/(K-1)$:
#
# $$P(k) = \sum_{i=1}^{M} \pi_i \left[\sigma\!\left(\frac{t_k + h - \mu_i}{s_i}\right)
#          - \sigma\!\left(\frac{t_k - h - \mu_i}{s_i}\right)\right],$$
#
# where the bin of level $0$ reaches down to $-\infty$ and that of level $K-1$ up to $+\infty$, so that all mass lands
# on some level. Source: Salimans 2017, arXiv:1701.05517, equation 2 and section 2.1 (there for levels 0 to 255,
# unscaled).
#
# **Numerics.** Far from every component both sigmoids round to the same number, their difference is 0, its logarithm
# $-\infty$, and the gradient NaN. Find a form whose logarithm does not subtract: for $a > b$,
#
# $$\sigma(a) - \sigma(b) = \sigma(a)\,\sigma(-b)\,\bigl(1 - e^{-(a - b)}\bigr).$$
#
# Other ways are fine as long as values are accurate, and values *and gradients* stay finite. Mind that `torch.where`
# sends a gradient of 0 into the branch that it does not take, and $0 \cdot \infty$ is NaN.
#
# **Conventions.** The module has exactly three learnable parameters, each of shape `(num_components,)`: mixture logits,
# means and scales, in a parametrisation of your choice ($\log s$, softplus, ...). You may clamp scales, as long as
# gradients stay finite; a clamp must not reach moderate scales (say $s$ from 0.01 to 10). Fresh components must differ
# from each other, or they would stay equal for ever.

# %% tags=["q2_logistic_mixture"]
class DiscretizedLogisticMixture(nn.Module):
    """Mixture of logistic distributions, integrated over the bin of each level.

    P(k) = sum_i pi_i [sigmoid((t_k + h - mu_i) / s_i) - sigmoid((t_k - h - mu_i) / s_i)], t_k = 2k/(num_levels-1) - 1,
    h = 1/(num_levels-1); the first bin reaches to minus infinity and the last to infinity. Salimans 2017, equation 2.
    Exactly three learnable parameters, each of shape (num_components,).
    """

    def __init__(self, num_components: int, num_levels: int):
        super().__init__()
        self.num_levels = num_levels
        ### BEGIN SOLUTION: create three parameters, with means that differ
        self.logits = nn.Parameter(torch.zeros(num_components))
        self.means = nn.Parameter(torch.linspace(-1, 1, num_components + 2)[1:-1].clone())
        self.log_scales = nn.Parameter(torch.full((num_components,), -2.0))
        ### END SOLUTION

    def log_prob(self, x: Tensor) -> Tensor:
        """log P(x) in nats. x: (B,) int64 in 0..num_levels-1. Returns (B,)."""
        ### BEGIN SOLUTION: log of a mixture of bin probabilities, finite however far the tail
        half_bin = 1 / (self.num_levels - 1)
        center = 2 * half_bin * x.unsqueeze(-1) - 1                              # (B, 1)
        inv_scale = torch.exp(-self.log_scales.clamp(-7, 7))                     # (M,)
        upper = (center + half_bin - self.means) * inv_scale                     # (B, M)
        lower = (center - half_bin - self.means) * inv_scale
        # sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - exp(b - a)): a product, so its log never cancels.
        log_width = torch.log(-torch.expm1(-2 * half_bin * inv_scale))           # (M,)
        log_bin = F.logsigmoid(upper) + F.logsigmoid(-lower) + log_width
        log_bin = torch.where(x.unsqueeze(-1) == 0, F.logsigmoid(upper), log_bin)
        log_bin = torch.where(x.unsqueeze(-1) == self.num_levels - 1, F.logsigmoid(-lower), log_bin)
        return torch.logsumexp(self.logits.log_softmax(0) + log_bin, dim=-1)
        ### END SOLUTION

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw n levels. Returns (n,) int64 in 0..num_levels-1."""
        ### BEGIN SOLUTION: pick a component, invert its CDF, round to a level
        i = torch.multinomial(self.logits.softmax(0), n, replacement=True, generator=generator)
        u = torch.rand(n, generator=generator, device=self.means.device, dtype=self.means.dtype)
        value = self.means[i] + self.log_scales.clamp(-7, 7).exp()[i] * torch.logit(u)
        return ((value.clamp(-1, 1) + 1) / 2 * (self.num_levels - 1)).round().long()
        ### END SOLUTION

# %% tags=["check_q2_logistic_mixture"]
mixture = DiscretizedLogisticMixture(num_components=3, num_levels=16)
assert [p.shape for p in mixture.parameters()] == [(3,)] * 3, "three parameters, one number per component in each"
log_p = mixture.log_prob(torch.arange(16))
assert log_p.shape == (16,), "log_prob returns one number per value"
assert torch.isclose(log_p.exp().sum(), torch.tensor(1.0), atol=1e-4), "the probabilities of all levels sum to 1"
drawn = mixture.sample(100, torch.Generator().manual_seed(0))
assert drawn.shape == (100,) and drawn.dtype == torch.int64, "sample returns (n,) int64"
assert drawn.min() >= 0 and drawn.max() <= 15, "samples are levels in 0..num_levels-1"

# %% [markdown]
# The same 300 values again, now with a mixture of 5 components (15 numbers in place of 64).
#
# **Expected.** 5.32 to 5.36 bits on new data, within 0.04 of the floor, where the histogram cost infinitely many.

# %% tags=["experiment"]
mixture = DiscretizedLogisticMixture(num_components=5, num_levels=64)
fit(mixture, lambda model, x: -model.log_prob(x).mean(), few, steps=by_preset(smoke=100, small=600, full=600),
    batch_size=300, learning_rate=0.05, floor=truth.entropy)
with torch.no_grad():
    mixture_p = mixture.cpu().log_prob(torch.arange(64)).exp()
print(f"floor {nats_to_bits_per_dim(truth.entropy, 1):.3f}, mixture {bits(mixture_p.log()[fresh]):.3f}, "
      f"histogram {bits(histogram.log()[fresh]):.3f}, uniform {math.log2(64):.3f} bits on new data")
plot_bars({"histogram of 300 values": histogram, "truth": truth.probabilities, "mixture": mixture_p},
          title="64 levels from 300 values", name="q2_fit")

# %% [markdown]
# # Part 2. Many variables
#
# ## W1 The order of the variables (4 points, about 30 minutes)
#
# The chain rule holds in every order: $p(x_1)\,p(x_2 \mid x_1) = p(x_2)\,p(x_1 \mid x_2)$. Now let every conditional be
# Gaussian, with mean and variance given by functions of the past that may be as flexible as you like:
# $p(x_1) = \mathcal N(\mu_1, s_1^2)$ and $p(x_2 \mid x_1) = \mathcal N(\mu(x_1), s(x_1)^2)$.
#
# In about half a page: (a) Why is the order no restriction for the chain rule itself? (b) Show by a worked
# counterexample that a Gaussian autoregressive model in the order 1, 2 need not be one in the order 2, 1. (c) What
# exactly brings the order in, and when does it not matter?
#
# Source: Murphy 22.1; Germain 2015, arXiv:1502.03509, section 3.

# %% [markdown] tags=["w1_ordering"]
# ### BEGIN SOLUTION: half a page with a worked counterexample
# **(a)** Both products are the same joint distribution, by the definition of a conditional. If the conditionals may be
# *any* distributions, every joint can be written in every order, so an order excludes nothing.
#
# **(b)** Take $x_1 \sim \mathcal N(0, 1)$ and $x_2 \mid x_1 \sim \mathcal N(x_1^2, s^2)$. Each factor is Gaussian. In
# the other order
#
# $$p(x_1 \mid x_2) \propto p(x_1)\,p(x_2 \mid x_1)
#   \propto \exp\!\left(-\frac{x_1^2}{2} - \frac{(x_2 - x_1^2)^2}{2 s^2}\right).$$
#
# The exponent is a polynomial of degree four in $x_1$, while a Gaussian has degree two. For $x_2 > s^2 / 2$ the density
# even has two modes, at $x_1 = \pm\sqrt{x_2 - s^2/2}$. So no choice of mean and variance makes $p(x_1 \mid x_2)$
# Gaussian, and the joint is outside the family in the order 2, 1. (Nor is the marginal $p(x_2)$ Gaussian: without noise
# it is chi-squared.)
#
# **(c)** The restriction to a family of conditionals brings in the order: the family is not closed under Bayes' rule.
# With $\mu$ linear and $s$ constant the joint is Gaussian, and then all conditionals in all orders are again linear
# with constant variance: there the order does not matter. For discrete variables a softmax over all levels is
# unrestricted; the network before it is not, and with few data some orders are easier to learn than others, as the
# digits below show.
# ### END SOLUTION

# %% [markdown]
# ## T6 A product of MADE masks (1 point, about 10 minutes)
#
# A dense network mixes everything with everything. MADE gives every unit a **degree**, and cuts each connection that
# would carry information the wrong way. An input's degree is its place in the order, its rank $0, \dots, D-1$. A hidden
# unit of degree $m$ may know the inputs of rank $\le m$:
#
# - it is connected to an input of rank $r$ when $r \le m$, and to a unit of the layer below of degree $m'$ when
#   $m' \le m$;
# - an output that predicts the dimension of rank $r$ is connected to hidden units of degree $m < r$, **strictly**.
#
# As 0/1 matrices of shape (out, in) these masks multiply, and entry $(i, j)$ of the product counts the paths from input
# $j$ to output $i$. A dependency is possible where it is positive. (Germain counts degrees from 1; here all count from
# 0.)
#
# Take $D = 4$ dimensions with ranks (2, 0, 3, 1), that is, dimension 0 has rank 2. The first hidden layer has five
# units of degrees (0, 2, 1, 0, 1), the second four of degrees (1, 0, 2, 1), and there is one output per dimension. Give
# the product of the three masks as a list of 4 rows (outputs) of 4 counts (inputs). You may compute it.
#
# Source: Germain 2015, arXiv:1502.03509, section 4.

# %% tags=["t6_mask_product"]
### BEGIN SOLUTION: t6_product = [[...], ...] (4 lists of 4 ints)
ranks, first_hidden, second_hidden = np.array([2, 0, 3, 1]), np.array([0, 2, 1, 0, 1]), np.array([1, 0, 2, 1])
mask_1 = first_hidden[:, None] >= ranks[None, :]
mask_2 = second_hidden[:, None] >= first_hidden[None, :]
mask_3 = ranks[:, None] > second_hidden[None, :]
t6_product = (mask_3.astype(int) @ mask_2.astype(int) @ mask_1.astype(int)).tolist()
### END SOLUTION

# %% tags=["check_t6_mask_product"]
assert len(t6_product) == 4 and all(len(row) == 4 for row in t6_product), "4 rows (outputs) of 4 entries (inputs)"
assert all(t6_product[d][d] == 0 for d in range(4)), "no output may see its own dimension"

# %% [markdown]
# ## Q3 MADE (11 points, about 75 minutes)
#
# Now the whole model. One pass of a masked network gives all conditionals at once:
#
# $$\log p(x) = \sum_{d} \log p(x_d \mid x_j : \mathrm{rank}(j) < \mathrm{rank}(d)), \qquad
#   p(x_d = k \mid \cdot) = \mathrm{softmax}_k\, \text{logits}_{d, k}(x).$$
#
# Sampling needs $D$ passes: each draws the next dimension in the order. Source: Germain 2015, arXiv:1502.03509, section
# 4; Murphy 22.2.
#
# **Conventions.**
# - `ordering[d]` is the **rank** of dimension `d`. `ordering=[1, 2, 0]` says: dimension 0 comes second, dimension 1
#   comes third, dimension 2 comes first. `None` is the identity. What is no permutation of `0..num_dims-1` raises
#   `ValueError`.
# - `made_masks` returns `len(hidden_sizes) + 1` masks of shape `(out, in)`, bool or 0/1. The last has
#   `num_dims * num_levels` rows; row `d * num_levels + k` is level `k` of dimension `d`.
# - Choose the degrees of hidden units yourself, fixed or random. When every hidden size is at least `num_dims - 1`,
#   **no allowed dependency may be lost**: a dimension must be able to see *every* dimension of lower rank. Smaller
#   layers must lose some, and still never leak.
# - `MADE` reads one scalar in [-1, 1] per dimension. Any activation will do.

# %% tags=["q3_made"]
def made_masks(
    num_dims: int, hidden_sizes: Sequence[int], num_levels: int, ordering: Sequence[int] | None = None
) -> list[Tensor]:
    """Masks of a MADE with one output per dimension and level. Germain 2015, section 4.

    ordering[d] is the RANK of dimension d (0 comes first); None is the identity.
    Returns len(hidden_sizes) + 1 masks of shape (out, in), True where a connection stays: the first is
    (hidden_sizes[0], num_dims), the last (num_dims * num_levels, hidden_sizes[-1]). Its row d * num_levels + k
    belongs to dimension d. Raises ValueError when ordering is no permutation of 0..num_dims-1.
    """
    ### BEGIN SOLUTION: give every unit a degree, compare degrees
    rank = torch.arange(num_dims) if ordering is None else torch.as_tensor(ordering)
    if sorted(rank.tolist()) != list(range(num_dims)):
        raise ValueError(f"ordering must be a permutation of 0..{num_dims - 1}, got {rank.tolist()}")
    # A hidden unit of degree m sees the dimensions of rank <= m. Rank D-1 is of use to nobody, so degrees end at D-2.
    degrees = [rank] + [torch.arange(size) % max(1, num_dims - 1) for size in hidden_sizes]
    masks = [after[:, None] >= before[None, :] for before, after in pairwise(degrees)]
    out_rank = rank.repeat_interleave(num_levels)
    return [*masks, out_rank[:, None] > degrees[-1][None, :]]
    ### END SOLUTION


class MaskedLinear(nn.Linear):
    """A linear layer whose weight is multiplied by a fixed 0/1 mask in every forward pass. mask: (out, in)."""

    def __init__(self, mask: Tensor):
        super().__init__(mask.shape[1], mask.shape[0])
        self.register_buffer("mask", mask)

    def forward(self, x: Tensor) -> Tensor:
        ### BEGIN SOLUTION: apply the mask here, not once at construction
        return F.linear(x, self.weight * self.mask, self.bias)
        ### END SOLUTION


class MADE(nn.Module):
    """Masked autoencoder: p(x) = prod_d p(x_d | dimensions of lower rank), every factor a softmax over levels.

    x: (B, num_dims) int64 in 0..num_levels-1; it enters the network as one scalar in [-1, 1] per dimension.
    ordering: as in made_masks. Raises ValueError when it is no permutation.
    """

    def __init__(
        self, num_dims: int, num_levels: int, hidden_sizes: Sequence[int], ordering: Sequence[int] | None = None
    ):
        super().__init__()
        self.num_dims, self.num_levels = num_dims, num_levels
        ### BEGIN SOLUTION: build the layers
        masks = made_masks(num_dims, hidden_sizes, num_levels, ordering)
        self.layers = nn.ModuleList(MaskedLinear(mask) for mask in masks)
        self.rank = list(range(num_dims) if ordering is None else torch.as_tensor(ordering).tolist())
        ### END SOLUTION

    def logits(self, x: Tensor) -> Tensor:
        """Unnormalised log p(x_d = k | dimensions of lower rank). (B, D) int64 -> (B, D, K)."""
        ### BEGIN SOLUTION: scale the levels to [-1, 1] and run the network
        h = (2 * x / (self.num_levels - 1) - 1).to(self.layers[0].weight.dtype)
        for layer in self.layers[:-1]:
            h = F.relu(layer(h))
        return self.layers[-1](h).view(len(x), self.num_dims, self.num_levels)
        ### END SOLUTION

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) in nats, summed over dimensions. (B, D) int64 -> (B,)."""
        ### BEGIN SOLUTION: one forward pass
        return -F.cross_entropy(self.logits(x).transpose(1, 2), x, reduction="none").sum(dim=1)
        ### END SOLUTION

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw n vectors, one dimension after the other in the order of rank. Returns (n, D) int64."""
        ### BEGIN SOLUTION: ancestral sampling
        x = torch.zeros(n, self.num_dims, dtype=torch.long, device=self.layers[0].weight.device)
        for d in np.argsort(self.rank):            # rank[d] says when d comes; argsort says who comes at each step
            probs = self.logits(x)[:, d].softmax(dim=-1)
            x[:, d] = torch.multinomial(probs, 1, generator=generator)[:, 0]
        return x
        ### END SOLUTION

# %% tags=["check_q3_made"]
masks = made_masks(3, [4, 5], 2)
assert [tuple(mask.shape) for mask in masks] == [(4, 3), (5, 4), (6, 5)], "masks are (out, in), from input to output"
made = MADE(3, num_levels=2, hidden_sizes=[4, 5])
x = torch.tensor([[0, 1, 1], [1, 0, 0]])
assert made.logits(x).shape == (2, 3, 2), "logits are (B, D, K)"
assert torch.allclose(made.logits(x)[0, 0], made.logits(x)[1, 0]), "the first dimension has nothing to depend on"
assert made.log_prob(x).shape == (2,), "log_prob is one number per row, summed over dimensions"
drawn = made.sample(7, torch.Generator().manual_seed(0))
assert drawn.shape == (7, 3) and drawn.dtype == torch.int64 and drawn.max() <= 1, "sample returns (n, D) levels"

# %% [markdown]
# Your masks, and their product (blue: connected). Whatever the degrees are, the product must be the strict lower
# triangle, with rows and columns sorted by rank. The picture has the identity order.

# %% tags=["experiment"]
small = [mask.double() for mask in made_masks(6, [9, 8], 1)]
product = torch.linalg.multi_dot(small[::-1]) > 0
titles = ["input to hidden", "hidden to hidden", "hidden to output", "product"]
figure, all_axes = plt.subplots(1, 4, figsize=(7, 2.4), width_ratios=[6, 9, 8, 6])
for axes, title, mask in zip(all_axes, titles, [*small, product]):
    axes.imshow(mask, cmap="Blues", vmin=0, vmax=1.2)
    axes.set(title=title, xlabel=f"{mask.shape[1]} in", ylabel=f"{mask.shape[0]} out", xticks=[], yticks=[])
figure.savefig("figures/q3_masks.png")

# %% [markdown]
# A MADE of handwritten digits, 8 x 8 pixels at 2 bits, in three orders: raster, columns, and a random one. Only 1,300
# digits are there to learn from, so the best weights are chosen on 200 more, and the test set is touched once.
#
# **Expected.** 0.85 to 0.89 bits/dim, where independent pixels cost 1.16 and a uniform guess 2. Three seeds of one
# order differ by about 0.003, and the orders by more than that. Does this contradict the chain rule?

# %% tags=["experiment"]
digits_train, digits_test = (to_levels(digits(split).images, 4).flatten(1) for split in ("train", "test"))
orders = {
    "raster": list(range(64)),
    "columns": torch.arange(64).view(8, 8).T.flatten().tolist(),
    "random": torch.randperm(64, generator=generator(0)).tolist(),
}
shares = torch.stack([fit_histogram(digits_train[:, d], 4) for d in range(64)])                # (64, 4)
independent = -shares.clamp(min=1e-4).log().gather(1, digits_test.T).sum(0).mean()
mades, histories = {}, {}
for label, order in orders.items():
    seed_everything(0)
    mades[label] = MADE(64, 4, [512], order)
    histories[label] = fit(
        mades[label], lambda model, x: -model.log_prob(x).mean(), digits_train[:1300],
        steps=by_preset(smoke=20, small=500, full=1000), batch_size=100, learning_rate=2e-3, weight_decay=0.1,
        validate=lambda model: -model.log_prob(digits_train[1300:].to(DEVICE)).mean(),
    )
    with torch.no_grad():
        cost = nats_to_bits_per_dim(-mades[label].log_prob(digits_test.to(DEVICE)).mean(), 64)
    print(f"{label:8} {cost:.3f} bits/dim (independent pixels {nats_to_bits_per_dim(independent, 64):.3f}, uniform 2)")
plot_losses(histories, scale=1 / (64 * math.log(2)), ylabel="bits/dim", name="q3_losses",
            floor={"independent pixels": nats_to_bits_per_dim(independent, 64)}, title="MADE on 8 x 8 digits")
drawn = mades["raster"].sample(24, generator(0, DEVICE)).cpu()
show_images(torch.cat([digits_test[:24], drawn]).view(-1, 8, 8), columns=12, num_levels=4, name="q3_samples",
            row_labels=["data", "", "MADE", ""], title="8 x 8 digits")

# %% [markdown]
# # Part 3. Pixels
#
# ## Q4 Masked convolution (8 points, about 45 minutes)
#
# MADE made a dense layer autoregressive by multiplying its weights with a mask. A convolution can be treated the
# same way, and keeps what makes it good for images: the same few weights at every position. A pixel $x_i$ in raster
# order (left to right, top to bottom) may depend on the pixels before it. So in a $k \times k$ kernel all rows above
# the centre stay, all rows below go, and the centre row stays **left of the centre only**.
#
# Two things remain: the centre itself, and colour. The first layer reads the image, so it must not see the pixel it
# predicts: **type A** removes the centre. Later layers read features of a pixel that already obey the rule: **type B**
# keeps it. With colours, $p(x_i) = p(R_i)\,p(G_i \mid R_i)\,p(B_i \mid R_i, G_i)$: at the centre, an output of
# colour $c$ sees input colours $< c$ (A) or $\le c$ (B). Feature maps come in contiguous groups R…R G…G B…B.
#
# | sees at the centre, from R G B | R out | G out | B out |
# |---|---|---|---|
# | type A | – | R | R G |
# | type B | R | R G | R G B |
#
# Source: van den Oord et al. 2016, arXiv:1601.06759, section 3.4 and figure 2; Murphy, section 22.3.
#
# **Your job.** Complete `MaskedConv2d`. The mask must hold in *every* forward pass, also after an optimiser has changed
# the weights. Input and output have their own group sizes: 6 input channels and 9 output channels in 3 colours are
# groups of 2 and of 3. `num_colors=1` is the case without colour groups. Outside the image are zeros.

# %% tags=["q4_masked_conv"]
class MaskedConv2d(nn.Conv2d):
    """2-D convolution that sees only earlier pixels, and at its centre only earlier colours.

    Shapes: (B, in_channels, H, W) -> (B, out_channels, H, W); kernel_size is odd, padding keeps H and W.
    mask_type "A" hides an output's own colour at the centre, "B" shows it. The channels of input and output come in
    num_colors contiguous groups of equal size: R..R G..G B..B.
    Raises ValueError for an even kernel, an unknown mask type, or channels that num_colors does not divide.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, mask_type: str, num_colors: int = 1):
        super().__init__(in_channels, out_channels, kernel_size, padding=kernel_size // 2)
        ### BEGIN SOLUTION: check the arguments, build the mask
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd, got {kernel_size}")
        if mask_type not in ("A", "B"):
            raise ValueError(f'mask_type must be "A" or "B", got {mask_type!r}')
        if in_channels % num_colors or out_channels % num_colors:
            raise ValueError(f"{in_channels} and {out_channels} channels do not split into {num_colors} colours")
        center = kernel_size // 2
        color_in = torch.arange(in_channels) // (in_channels // num_colors)
        color_out = torch.arange(out_channels) // (out_channels // num_colors)
        earlier = torch.less if mask_type == "A" else torch.less_equal
        mask = torch.zeros_like(self.weight)                                     # (out, in, k, k)
        mask[:, :, :center, :] = 1
        mask[:, :, center, :center] = 1
        mask[:, :, center, center] = earlier(color_in[None, :], color_out[:, None]).to(mask)
        self.register_buffer("mask", mask)
        ### END SOLUTION

    def forward(self, x: Tensor) -> Tensor:
        ### BEGIN SOLUTION: convolve with the masked weight
        return self._conv_forward(x, self.weight * self.mask, self.bias)
        ### END SOLUTION

# %% tags=["check_q4_masked_conv"]
conv = MaskedConv2d(1, 1, 3, "A")
nn.init.ones_(conv.weight); nn.init.zeros_(conv.bias)
image = torch.zeros(1, 1, 5, 5); image[0, 0, 2, 2] = 1.0
reach = conv(image)[0, 0] > 0
assert not reach[2, 2], "type A: the output at (2, 2) sees its own pixel"
assert reach[2, 3] and reach[3, 1:4].all(), "a pixel must influence the next one in its row, and the row below"
assert not reach[:2].any() and not reach[2, :2].any(), "a pixel influences outputs before it"

# %% [markdown]
# ## T3 How far a stack of masked convolutions sees (1 point, about 5 minutes)
#
# A stack begins with one 9 x 9 layer of type A and goes on with eight 5 x 5 layers of type B. How many columns wide is
# its **nominal** receptive field: the widest row above the predicted pixel, in the middle of a large image, holes
# ignored? Give an int.
#
# Source: van den Oord 2016, arXiv:1601.06759, section 3.4.

# %% tags=["t3_receptive_field"]
### BEGIN SOLUTION: t3_width = ... (an int)
t3_width = 9 + 8 * (5 - 1)
### END SOLUTION

# %% tags=["check_t3_receptive_field"]
assert isinstance(t3_width, int), "give a whole number"
assert t3_width > 9 and t3_width % 2 == 1, "every layer adds columns on both sides of the same centre"

# %% [markdown]
# ## Q5 PixelCNN (9 points, about 60 minutes)
#
# Stack masked convolutions and put a softmax over levels on every pixel and colour:
#
# $$\log p(x) = \sum_{i} \sum_{c} \log p(x_{i,c} \mid x_{<i},\ x_{i,<c}),
#   \qquad p(\cdot) = \mathrm{softmax}(\text{logits}).$$
#
# One pass scores a whole image. Sampling takes $C \cdot H \cdot W$ passes, row by row, left to right, colours in the
# order 0, 1, 2: at each step only the conditional of the next value is used. Source: van den Oord 2016,
# arXiv:1601.06759, sections 3.4 and 3.5; Murphy 22.3.
#
# **Conventions.**
# - First a 7 x 7 layer of type A, then `num_layers` layers of type B of at least 3 x 3, then 1 x 1 of type B to the
#   logits. Every masked layer has `num_colors = C`, and `hidden` is divisible by `C`, else `ValueError`.
# - Residual connections around type-B layers help. So does a learned bias `(hidden, H, W)` after the first layer: it
#   depends on no pixel, so it breaks no order, and a picture's middle is not like its rim. Otherwise put between layers
#   what works position by position, on each colour group by itself: a normalisation over the image or the batch would
#   carry information backwards.
# - The last layer's channels come in colour groups too: channel `c * num_levels + k`. `.logits` returns
#   `(B, K, C, H, W)`, the layout that `F.cross_entropy` wants, with levels on axis 1. Mind the difference between
#   `view` and `permute`.
# - With `num_classes` the model is $p(x \mid y)$: every conditional may use the label, the first pixel's too. All
#   methods then need `y` of shape `(B,)`. Labels given without `num_classes`, or missing with it, raise `ValueError`.
# - `receptive_field` tells which pixels *do* influence the logits at (row, col), whatever the network: change one value
#   of an image, and look. It may use levels 0 and 1 only. A dead ReLU can hide an influence, so try several random
#   images.

# %% tags=["q5_pixelcnn"]
class PixelCNN(nn.Module):
    """p(x) = prod_i p(x_i | earlier pixels, earlier colours of pixel i), every factor a softmax over levels.

    van den Oord 2016, 1601.06759. image_shape: (C, H, W); hidden: channels of the hidden layers, in C colour groups;
    num_layers: type-B layers in the middle. With num_classes every method takes labels y (B,) int64, without it none.
    Raises ValueError when C does not divide hidden, or when y is given or missing against num_classes.
    """

    def __init__(
        self, image_shape: Sequence[int], num_levels: int, hidden: int, num_layers: int, num_classes: int | None = None
    ):
        super().__init__()
        self.image_shape, self.num_levels, self.num_classes = tuple(image_shape), num_levels, num_classes
        ### BEGIN SOLUTION: build the layers
        colors, height, width = self.image_shape
        self.first = MaskedConv2d(colors, hidden, 7, "A", colors)
        self.position = nn.Parameter(torch.zeros(hidden, height, width))         # middle and rim differ in all images
        self.layers = nn.ModuleList(MaskedConv2d(hidden, hidden, 3, "B", colors) for _ in range(num_layers))
        self.last = MaskedConv2d(hidden, colors * num_levels, 1, "B", colors)
        self.label = None if num_classes is None else nn.Embedding(num_classes, hidden)
        ### END SOLUTION

    def logits(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Unnormalised log p(x_i = k | before). x: (B, C, H, W) int64; y: (B,) int64 or None. -> (B, K, C, H, W)."""
        ### BEGIN SOLUTION: scale the levels to [-1, 1] and run the layers
        if (y is None) != (self.num_classes is None):
            raise ValueError("give labels y exactly when the model was built with num_classes")
        h = self.first((2 * x / (self.num_levels - 1) - 1).to(self.first.weight.dtype)) + self.position
        if y is not None:
            h = h + self.label(y)[:, :, None, None]      # the same for all pixels and colours: it breaks no order
        for layer in self.layers:
            h = h + layer(F.relu(h))
        colors, height, width = self.image_shape
        return self.last(F.relu(h)).view(len(x), colors, self.num_levels, height, width).transpose(1, 2)
        ### END SOLUTION

    def log_prob(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """log p(x | y) in nats, summed over pixels and colours. Returns (B,)."""
        ### BEGIN SOLUTION: one forward pass
        return -F.cross_entropy(self.logits(x, y), x, reduction="none").sum(dim=(1, 2, 3))
        ### END SOLUTION

    @torch.no_grad()
    def sample(self, n: int, y: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
        """Draw n images, pixel by pixel and colour by colour. y: (n,) or None. Returns (n, C, H, W) int64."""
        ### BEGIN SOLUTION: ancestral sampling
        colors, height, width = self.image_shape
        x = torch.zeros(n, colors, height, width, dtype=torch.long, device=next(self.parameters()).device)
        for r in range(height):
            for c in range(width):
                for color in range(colors):
                    probs = self.logits(x, y)[:, :, color, r, c].softmax(dim=1)
                    x[:, color, r, c] = torch.multinomial(probs, 1, generator=generator)[:, 0]
        return x
        ### END SOLUTION


@torch.no_grad()
def receptive_field(
    logits_fn: Callable[[Tensor], Tensor], image_shape: Sequence[int], row: int, col: int
) -> Tensor:
    """Which input pixels move the logits at (row, col), found by changing them one at a time.

    logits_fn: (B, C, H, W) int64 -> (B, K, C, H, W); levels 0 and 1 always exist. Returns (H, W) bool: True where a
    change of the pixel, in any colour, moves any logit at (row, col). Tries several random images, since a ReLU may
    hide an influence.
    """
    ### BEGIN SOLUTION: flip one value at a time
    colors, height, width = image_shape
    size = colors * height * width
    generator = torch.Generator().manual_seed(0)
    moved = torch.zeros(size, dtype=torch.bool)
    for _ in range(4):
        base = torch.randint(0, 2, (1, size), generator=generator)
        flipped = base ^ torch.eye(size, dtype=torch.long)                       # image i differs in value i alone
        out = logits_fn(torch.cat([base, flipped]).view(-1, colors, height, width))[..., row, col].flatten(1)
        moved |= (out[1:] != out[:1]).any(dim=1).cpu()
    return moved.view(colors, height, width).any(dim=0)
    ### END SOLUTION

# %% tags=["check_q5_pixelcnn"]
model = PixelCNN((3, 4, 5), num_levels=6, hidden=12, num_layers=1)
x = torch.randint(0, 6, (2, 3, 4, 5), generator=torch.Generator().manual_seed(0))
assert model.logits(x).shape == (2, 6, 3, 4, 5), "logits are (B, K, C, H, W)"
assert model.log_prob(x).shape == (2,), "log_prob is one number per image, summed over pixels and colours"
changed = x.clone(); changed[:, :, 3, 4] = (x[:, :, 3, 4] + 1) % 6
same = torch.isclose(model.logits(x), model.logits(changed), atol=1e-6)
assert same[..., :3, :].all(), "the last pixel moves logits of rows above it"
assert same[:, :, 0, 3, 4].all(), "a pixel moves the logits of its own first colour: which mask does the first layer need?"
drawn = PixelCNN((1, 2, 3), num_levels=4, hidden=8, num_layers=1, num_classes=2).sample(2, torch.tensor([0, 1]))
assert drawn.shape == (2, 1, 2, 3), "sample returns (n, C, H, W)"
assert drawn.dtype == torch.int64 and drawn.max() <= 3, "samples are levels in 0..num_levels-1"
seen = receptive_field(lambda x: x[:, None].double().roll(1, dims=-1), (1, 2, 4), row=1, col=2)
assert seen.tolist() == [[False] * 4, [False, True, False, False]], "here the logits at (1, 2) copy the pixel at (1, 1)"

# %% [markdown]
# What a stack of masked 3 x 3 convolutions sees after the 7 x 7 layer (blue: pixels that move the logits at the cross).
# The triangle on the right stays out of sight, however many layers there are.

# %% tags=["experiment"]
seed_everything(0)
depths = by_preset(smoke=(1, 3), small=(1, 3, 5), full=(1, 3, 5))
fields = {
    f"num_layers = {n}": receptive_field(PixelCNN((1, 19, 19), 2, 12, n).logits, (1, 19, 19), 12, 9) for n in depths
}
show_mask(fields, row=12, column=9, title="Receptive fields of a PixelCNN", name="q5_receptive_fields")

# %% [markdown]
# ## W3 The blind spot (3 points, about 20 minutes)
#
# The picture shows pixels that come *before* the predicted one and never reach it. In about a third of a page: (a)
# Which region is it, for kernels of size $k \times k$? (b) Why does no number of layers remove it? (c) Why do two
# stacks, a vertical one that feeds a horizontal one, remove it without letting a later pixel in, and why must the link
# go one way?
#
# Source: van den Oord 2016, arXiv:1606.05328, section 2.2 and figure 1.

# %% [markdown] tags=["w3_blind_spot"]
# ### BEGIN SOLUTION: a third of a page, with a drawing or an argument over two layers
# **(a)** Let $p = \lfloor k/2 \rfloor$. Unseen are pixels above and to the right of the predicted one: those $i$ rows
# up and more than $p\,i$ columns to the right (plus a constant from the first, wider kernel). For 3 x 3 it is what lies
# beyond the diagonal.
#
# **(b)** One masked layer at $(r, c)$ reads $(r - i, c + j)$ with $|j| \le p$ if $1 \le i \le p$, and $-p \le j \le 0$
# if $i = 0$. A stack reads sums of such steps. Only steps that go up can go right, and a row up pays for at most $p$
# columns. So after any number of steps, $i$ rows up means at most $p\,i$ columns to the right. Two 3 x 3 layers: (1 up,
# 1 right) twice reaches (2, 2); to reach (1, 2) the second step would have to go right within its row, which the mask
# forbids. More layers only repeat the same steps.
#
# **(c)** The vertical stack has no centre row in its first layer, and its kernel spans whole columns
# $c - p, \dots, c + p$ of the rows above. In later layers it may also use its own row, since its features at row $r$
# hold rows $< r$ only. So it can move right without moving up, and sees the full rectangle above. The horizontal stack
# sees the row to the left, and takes in the vertical feature *at its own position*: together exactly the pixels before.
# If the link went back from horizontal to vertical, a feature at $(r, c)$, which knows the row up to $c - 1$, would
# reach $(r, c - 1)$ through the $k$-wide kernel: a leak.
# ### END SOLUTION

# %% [markdown]
# ## Q6 Gated convolution in two stacks (6 points, about 45 minutes)
#
# The gated PixelCNN has two remedies: two stacks against the blind spot, and in place of ReLU the gate of an LSTM,
#
# $$y = \tanh(W_f * x + V_f^{\top} c) \odot \sigma(W_g * x + V_g^{\top} c),$$
#
# where $c$ is an optional condition, such as an embedded label. Source: van den Oord 2016, arXiv:1606.05328, equations
# 2 and 4, figure 2.
#
# **What a layer sees.** With $p = \lfloor k/2 \rfloor$, at row $r$ and column $c$:
#
# | | `first=True` (inputs are the image) | `first=False` |
# |---|---|---|
# | `v` out sees `v` in | rows $r-p$ to $r-1$, columns $c-p$ to $c+p$ | rows $r-p$ to $r$, columns $c-p$ to $c+p$ |
# | `h` out sees `h` in | row $r$, columns $c-p$ to $c-1$ | row $r$, columns $c-p$ to $c$ |
# | `h` out also sees | all that `v` out sees at $(r, c)$ | all that `v` out sees at $(r, c)$ |
# | residual connection | none | on `h` only: `h` out = `h` in + gated features |
#
# After the first layer, `v` at row $r$ holds rows before $r$, and so it stays: no further shift is needed. `v` never
# sees `h`.
#
# **Conventions.** Both stacks are gated, each with weights of its own: of the features, one half goes through tanh and
# the other through the sigmoid. The link from `v` to `h` is a 1 x 1 convolution of this layer's vertical features. `h`
# may pass another 1 x 1 convolution before it is added. A condition `(B, channels)` is projected into both halves of
# both stacks, the same at every position; without one, nothing is added. `kernel_size` is odd and at least 3, else
# `ValueError`.
#
# **Hint.** A causal convolution needs no mask: take a kernel that has only the rows (columns) it may see, and pad on
# one side. `F.pad(x, (left, right, top, bottom))` crops where a number is negative.
#
# `GatedPixelCNN` below is given: it stacks your layers, for images of one channel. It takes `log_prob` and `sample`
# from your `PixelCNN`, so they should use nothing but `.logits`, `.image_shape` and `.num_levels`.

# %% tags=["q6_gated_stack"]
class GatedMaskedConv(nn.Module):
    """One layer of a gated PixelCNN: a vertical stack v of the rows above, a horizontal stack h of the row so far.

    y = tanh(W_f * x + V_f c) . sigmoid(W_g * x + V_g c) in each stack (1606.05328, equation 4 and figure 2).
    With p = kernel_size // 2, at (r, c): v_out sees v_in in rows r-p..r, columns c-p..c+p; h_out sees h_in in row r,
    columns c-p..c, and v_out at (r, c). With first=True the inputs stand for the image itself, so v_out sees only rows
    r-p..r-1, h_out only columns c-p..c-1, and h has no residual connection.
    Raises ValueError for an even kernel or one smaller than 3.
    """

    def __init__(self, channels: int, kernel_size: int, first: bool = False):
        super().__init__()
        ### BEGIN SOLUTION: two convolutions, the link between the stacks, projections of the condition
        if kernel_size % 2 == 0 or kernel_size < 3:
            raise ValueError(f"kernel_size must be odd and at least 3, got {kernel_size}")
        self.first, self.reach = first, kernel_size // 2
        depth = self.reach + (not first)                             # rows, or columns, that the kernels cover
        self.vertical = nn.Conv2d(channels, 2 * channels, (depth, kernel_size))
        self.horizontal = nn.Conv2d(channels, 2 * channels, (1, depth))
        self.link = nn.Conv2d(2 * channels, 2 * channels, 1)
        self.out = nn.Conv2d(channels, channels, 1)
        self.condition_v = nn.Linear(channels, 2 * channels, bias=False)
        self.condition_h = nn.Linear(channels, 2 * channels, bias=False)
        ### END SOLUTION

    def forward(self, v: Tensor, h: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """v, h: (B, channels, H, W); condition: (B, channels) or None. Returns (v, h) of the same shapes."""
        ### BEGIN SOLUTION: pad, convolve, gate
        p, crop = self.reach, -int(self.first)           # first: drop the last row (column), so that all move by one
        v_features = self.vertical(F.pad(v, (p, p, p, crop)))                    # (B, 2 channels, H, W)
        h_features = self.horizontal(F.pad(h, (p, crop, 0, 0))) + self.link(v_features)
        if condition is not None:
            v_features = v_features + self.condition_v(condition)[:, :, None, None]
            h_features = h_features + self.condition_h(condition)[:, :, None, None]
        v_out, h_out = self._gate(v_features), self.out(self._gate(h_features))
        return v_out, h_out if self.first else h + h_out
        ### END SOLUTION

    @staticmethod
    def _gate(features: Tensor) -> Tensor:
        """(B, 2 channels, H, W) -> (B, channels, H, W): tanh of the first half times sigmoid of the second."""
        value, gate = features.chunk(2, dim=1)
        return torch.tanh(value) * torch.sigmoid(gate)


class GatedPixelCNN(nn.Module):
    """PixelCNN made of GatedMaskedConv layers, for images of one channel; the same methods as PixelCNN."""

    def __init__(
        self, image_shape: Sequence[int], num_levels: int, hidden: int, num_layers: int, num_classes: int | None = None
    ):
        super().__init__()
        if image_shape[0] != 1:
            raise ValueError(f"GatedPixelCNN models images of one channel, got {image_shape[0]}")
        self.image_shape, self.num_levels, self.num_classes = tuple(image_shape), num_levels, num_classes
        self.embed = nn.Conv2d(num_levels, hidden, 1)                            # of the one-hot levels
        self.first = GatedMaskedConv(hidden, 7, first=True)
        self.layers = nn.ModuleList(GatedMaskedConv(hidden, 3) for _ in range(num_layers))
        self.last = nn.Conv2d(hidden, num_levels, 1)
        self.label = None if num_classes is None else nn.Embedding(num_classes, hidden)

    def logits(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """(B, 1, H, W) int64 -> (B, K, 1, H, W)."""
        condition = None if self.label is None else self.label(y)
        one_hot = F.one_hot(x[:, 0], self.num_levels).permute(0, 3, 1, 2).to(self.embed.weight.dtype)
        v = h = self.embed(one_hot)
        for layer in [self.first, *self.layers]:
            v, h = layer(v, h, condition)
        return self.last(F.relu(h)).unsqueeze(2)

    def log_prob(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """As PixelCNN.log_prob, which needs no more than .logits."""
        return PixelCNN.log_prob(self, x, y)

    def sample(self, n: int, y: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
        """As PixelCNN.sample, which needs no more than .logits, .image_shape and .num_levels."""
        return PixelCNN.sample(self, n, y, generator)

# %% tags=["check_q6_gated_stack"]
layer = GatedMaskedConv(channels=4, kernel_size=3, first=True)
v, h = torch.randn(2, 4, 5, 6), torch.randn(2, 4, 5, 6)
v_out, h_out = layer(v, h)
assert v_out.shape == h_out.shape == v.shape, "both stacks keep their shape"
below = v.clone(); below[:, :, 2:] += 1
assert torch.allclose(layer(below, h)[0][:, :, :3], v_out[:, :, :3], atol=1e-6), "the first v sees rows above only"
v_given, h_given = layer(v, h, torch.randn(2, 4))
assert not torch.allclose(v_given, v_out) and not torch.allclose(h_given, h_out), "a condition changes both stacks"

# %% tags=["experiment"]
seed_everything(0)
gated_fields = {
    f"num_layers = {n}": receptive_field(GatedPixelCNN((1, 19, 19), 2, 12, n).logits, (1, 19, 19), 12, 9)
    for n in depths
}
show_mask(gated_fields, row=12, column=9, title="Receptive fields of a gated PixelCNN", name="q6_receptive_fields")

# %% [markdown]
# ## E1 A PixelCNN on Fashion-MNIST (4 points, about 45 minutes)
#
# Train `PixelCNN` or `GatedPixelCNN` on 10,000 images of 28 x 28 pixels with 4 levels (2 bits). For two points of
# reference: a uniform guess costs exactly 2 bits/dim, and a histogram of every pixel by itself about 1.33.
#
# **Your job.** Write the loss. Choose class, size and training so that the run takes at most 3 minutes on two cores;
# use the validation value to choose, and the test set once at the end. The cell saves the checkpoint that you hand in.
# When grading, the model is rebuilt and scored on other images of the same kind, and its causality is probed at full
# size.
#
# **Expected.** 0.41 to 0.43 bits/dim on the test set. Full points up to 0.44 bits/dim, none from 0.60, in equal steps
# between. For comparison, published: PixelCNN has 81.3 nats an image on *binarised* MNIST, which is 0.150 bits/dim (van
# den Oord 2016, 1601.06759, section 5), and 3.14 bits/dim on CIFAR-10. Both are other data, other numbers of levels (2
# and 256) and five times the training images, so they show the range of the numbers, not who is better.

# %% tags=["e1_fashion_pixelcnn"]
def e1_loss(model: nn.Module, x: Tensor) -> Tensor:
    """Mean negative log-likelihood of a batch, in bits per dimension. x: (B, 1, 28, 28) int64. Returns a scalar."""
    ### BEGIN SOLUTION: the loss in bits/dim, averaged over the batch
    return nats_to_bits_per_dim(-model.log_prob(x), x[0].numel()).mean()
    ### END SOLUTION


### BEGIN SOLUTION: e1_class, e1_config (its arguments), e1_training (steps, batch_size, learning_rate, ... of fit)
e1_class = PixelCNN
e1_size = by_preset(smoke={"hidden": 8, "num_layers": 1}, small={"hidden": 32, "num_layers": 6},
                    full={"hidden": 128, "num_layers": 14})
e1_config = {"image_shape": (1, 28, 28), "num_levels": 4, **e1_size}
e1_training = by_preset(
    smoke={"steps": 30, "batch_size": 8, "learning_rate": 5e-3},
    small={"steps": 1600, "batch_size": 16, "learning_rate": 5e-3, "warmup": 50, "ema": 0.99},
    full={"steps": 10_000, "batch_size": 64, "learning_rate": 1e-3, "warmup": 200, "ema": 0.999},
)
### END SOLUTION


def e1_validate(model: nn.Module) -> Tensor:
    """Mean loss over the last 500 training images, which the model does not learn from."""
    return torch.stack([e1_loss(model, x.to(DEVICE)) for x in fashion_train[9500:].split(100)]).mean()


seed_everything(SEED)
e1_model = e1_class(**e1_config)
e1_history = fit(e1_model, e1_loss, fashion_train[:9500], seed=SEED, name="e1_fashion_pixelcnn",
                 validate=e1_validate, validate_every=max(1, e1_training["steps"] // 4), **e1_training)
artifacts.save("e1_fashion_pixelcnn", e1_model, e1_config)
print(e1_history)

# %% tags=["check_e1_fashion_pixelcnn"]
from common import artifacts
from common.data import fashion_mnist, to_levels

saved = artifacts.load("e1_fashion_pixelcnn", globals())
few_images = to_levels(fashion_mnist("test").images[:20], num_levels=4)
with torch.no_grad():
    logits = saved.logits(few_images)
assert logits.shape == (20, 4, 1, 28, 28), "the checkpoint must be a model of 28 x 28 images with 4 levels"
cost = F.cross_entropy(logits, few_images) / math.log(2)
assert cost < 2, f"{cost:.2f} bits/dim: a uniform guess costs 2"

# %% tags=["experiment"]
shares = F.one_hot(fashion_train[:, 0], 4).double().mean(0).clamp(min=1e-4)                          # (28, 28, 4)
independent = -shares.log2()[None].expand(2000, -1, -1, -1).gather(3, fashion_test[:, 0, :, :, None]).mean()
e1_model.to(DEVICE)
with torch.no_grad():                                                  # -log2 p of every test pixel, (2000, 1, 28, 28)
    e1_cost = torch.cat([F.cross_entropy(e1_model.logits(x), x, reduction="none").cpu() / math.log(2)
                         for x in fashion_test.to(DEVICE).split(100)])
e1_bits = e1_cost.mean((1, 2, 3))
print(f"test {e1_bits.mean():.4f} +- {e1_bits.std() / len(e1_bits)**0.5:.4f} bits/dim (standard error over images)")
print(f"independent pixels {independent:.3f}, uniform 2 bits/dim; {e1_history.seconds:.0f} s of training")
plot_losses(e1_history, floor={"independent pixels": independent, "uniform": 2.0}, ylabel="bits/dim",
            title="PixelCNN on 2-bit Fashion-MNIST", name="e1_losses")

# %% [markdown]
# Samples, and what the model finds hard. The cost map is the mean cost per pixel over the test set: where is an image
# surprising? Below, four test images with the cost of their own pixels.

# %% tags=["experiment"]
started = time.perf_counter()
e1_samples = e1_model.sample(by_preset(smoke=4, small=16, full=64), generator=generator(0, DEVICE)).cpu()
print(f"{len(e1_samples)} samples of 784 passes each: {time.perf_counter() - started:.0f} s")
show_images(torch.cat([fashion_test[:len(e1_samples)], e1_samples]), columns=len(e1_samples) // 2, num_levels=4,
            row_labels=["test images", "", "samples", ""], title="2-bit Fashion-MNIST", name="e1_samples")
figure, (left, right) = plt.subplots(1, 2, figsize=(7, 2.8), width_ratios=[1, 1.6])
image = left.imshow(e1_cost.mean((0, 1)))
figure.colorbar(image, ax=left, label="bits per pixel")
left.set(title="mean cost over the test set", xticks=[], yticks=[])
pairs = torch.cat([torch.cat([x[0] / 3, cost[0] / 4], dim=0) for x, cost in zip(fashion_test[:4], e1_cost[:4])], dim=1)
right.imshow(pairs.clamp(0, 1), cmap="gray")
right.set(title="images (top), cost of each pixel (bottom)", xticks=[], yticks=[])
for axes in (left, right):
    axes.grid(False)
figure.savefig("figures/e1_cost_map.png")

# %% [markdown]
# ## W2 Likelihood and sample quality (3 points, about 20 minutes)
#
# Let $p$ be a good model and $q$ noise. In about a third of a page: (a) By how much can the test likelihood of the
# mixture $0.01\,p + 0.99\,q$ be worse than that of $p$? Derive a bound in nats per image, and say what it is in
# bits/dim for an image of E1. What do its samples look like? (b) Describe a model the other way round: samples that
# look perfect, and a very bad test likelihood. (c) What does that mean for E1 and E2: what does bits/dim show, and what
# else is to be shown?
#
# Source: Theis 2016, arXiv:1511.01844, sections 3.1 and 3.2; Murphy 20.4.

# %% [markdown] tags=["w2_likelihood_quality"]
# ### BEGIN SOLUTION: a third of a page, with the bound and its number
# **(a)** Since $0.99\,q(x) \ge 0$, $\log(0.01\,p(x) + 0.99\,q(x)) \ge \log p(x) - \log 100$: at most 4.61 nats or 6.64
# bits an image worse. With 784 dimensions that is 0.0085 bits/dim, about the spread between two seeds or two learning
# rates in E1. Yet 99 of 100 samples are noise. The larger the image, the smaller the share: likelihood hardly sees it.
#
# **(b)** Put a narrow bump on each training image (or repeat them exactly). Every sample is a real image. A test image
# lies in no bump, so its density is tiny, and goes to zero with the width of the bumps: the test likelihood is as bad
# as one likes. A model that leaves out one class has perfect samples of the others and an infinite cost on that class.
#
# **(c)** Bits/dim measures how well the model predicts and would compress *test* images. It proves that the model has
# spread its mass over all of them, and overfitting shows in it. It says next to nothing about the share of good
# samples. So samples must be looked at too, and set beside their nearest training images, since copies also look good.
# ### END SOLUTION

# %% [markdown]
# # Part 4. Tokens
#
# ## T1 What a larger vocabulary costs (1 point, about 5 minutes)
#
# A GPT of width 640 is moved from a vocabulary of 32,000 tokens to one of 128,256. Its input embedding and its output
# layer are separate matrices (not tied), and the output layer has a bias. By how many parameters does it grow? Give an
# int.
#
# Source: Radford 2019, section 2; Murphy 22.4.

# %% tags=["t1_vocabulary"]
### BEGIN SOLUTION: t1_extra_parameters = ... (an int)
t1_extra_parameters = (128_256 - 32_000) * (640 + 640 + 1)
### END SOLUTION

# %% tags=["check_t1_vocabulary"]
assert isinstance(t1_extra_parameters, int), "give a whole number"
assert t1_extra_parameters > 128_256 - 32_000, "every new token needs more than one parameter"

# %% [markdown]
# ## Q7 Causal attention (6 points, about 30 minutes)
#
# A PixelCNN sees far only through many layers. Attention reaches any earlier position in one:
#
# $$\mathrm{attention}(Q, K, V) = \mathrm{softmax}\!\left(\frac{Q K^{\top}}{\sqrt d} + M\right) V,
#   \qquad M_{ij} = \begin{cases} 0 & \text{key } j \text{ is not after query } i, \\
#   -\infty & \text{otherwise,} \end{cases}$$
#
# with $d$ the width of one head. Source: Vaswani 2017, arXiv:1706.03762, equation 1; Murphy 16.2.7 and 22.4.
#
# **Conventions.** `q` is `(B, heads, T, d)`; `k` and `v` are `(B, heads, past_length + T, d)`: the first `past_length`
# of them come from a cache. So query `i` stands at position `past_length + i`, and sees keys `0..past_length + i`, its
# own included. Write it with matrix products and a softmax, or with `F.scaled_dot_product_attention` (mind what
# `is_causal` means there when queries and keys are not equally many).

# %% tags=["q7_attention"]
def causal_attention(q: Tensor, k: Tensor, v: Tensor, past_length: int = 0) -> Tensor:
    """softmax(q k^T / sqrt(d) + mask) v, Vaswani 2017, equation 1, where the mask hides the future.

    q: (B, h, T, d); k, v: (B, h, past_length + T, d). Query i stands at position past_length + i and sees the keys
    0..past_length + i. Returns (B, h, T, d).
    """
    ### BEGIN SOLUTION: scores, mask, softmax, mix
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])                    # (B, h, T, past + T)
    position = torch.arange(k.shape[-2], device=q.device)
    future = position[None, :] > position[past_length:, None]                    # (T, past + T)
    return scores.masked_fill(future, -math.inf).softmax(dim=-1) @ v
    ### END SOLUTION

# %% tags=["check_q7_attention"]
q, k, v = (torch.randn(2, 3, 4, 8) for _ in range(3))
out = causal_attention(q, k, v)
assert out.shape == (2, 3, 4, 8), "one mixed value per query"
assert torch.allclose(out[:, :, 0], v[:, :, 0], atol=1e-6), "the first query sees one key, so it gets exactly its value"
assert torch.allclose(causal_attention(q[:, :, :1], k, v * 0 + 1, past_length=3), torch.ones(1)), "weights sum to 1"

# %% [markdown]
# Attention is a matrix of weights: with the identity as values, that matrix is the result. Left a sequence at once,
# right its last 4 queries with a past of 8.

# %% tags=["experiment"]
q, k = (torch.randn(1, 1, 12, 12, generator=generator(3)) for _ in range(2))
value = torch.eye(12)[None, None]
maps = {"12 queries, no past": causal_attention(q, k, value),
        "last 4 queries, past of 8": causal_attention(q[:, :, 8:], k, value, past_length=8)}
figure, all_axes = plt.subplots(1, 2, figsize=(7, 3))
for axes, (title, weights) in zip(all_axes, maps.items()):
    image = axes.imshow(weights[0, 0], vmin=0, vmax=1)
    axes.set(title=title, xlabel="key", ylabel="query", xticks=range(0, 12, 2), yticks=range(0, weights.shape[2], 2))
    axes.grid(False)
figure.colorbar(image, ax=all_axes, label="weight", shrink=0.8)
figure.savefig("figures/q7_attention.png")

# %% [markdown]
# ## Q8 GPT with a cache (8 points, about 60 minutes)
#
# A GPT is embeddings, then blocks of attention and MLP around a residual stream, then a linear layer to the logits:
#
# $$x_t = E_{\text{token}_t} + P_t, \qquad
#   x \leftarrow x + \mathrm{attention}(\mathrm{norm}(x)), \qquad x \leftarrow x + \mathrm{mlp}(\mathrm{norm}(x)).$$
#
# The logits at position $t$ predict token $t+1$. Source: Radford 2019, section 2.3; Chen 2020 (iGPT), section 2; Murphy
# 22.4.
#
# When a sequence grows by one token, all earlier keys and values stay what they were: causality again. So keep them. A
# forward pass with a **cache** reads only new tokens; their queries look at old and new keys.
#
# **Conventions.**
# - `model(idx)` and `model(idx, cache)` return `(logits, cache)`, with logits `(B, T, vocab_size)` for the `T` tokens
#   in `idx`.
# - `cache=None` begins a sequence. Otherwise it is what an earlier call returned, and `idx` are the tokens that follow.
#   What a cache is, is your choice. It belongs to one sequence and is used once: hand each call's cache to the next
#   call.
# - Reading a sequence in any pieces gives the logits of reading it at once. So positions must go on where the cache
#   ends.
# - Learned positions, no dropout. `ValueError` when `heads` does not divide `width`, and when past and new tokens
#   together are more than `context_length`.

# %% tags=["q8_gpt_cache"]
class Block(nn.Module):
    """Transformer block with normalisation first: x + attention(norm(x)), then x + mlp(norm(x)). Radford 2019, 2.3."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm_attention, self.norm_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.project = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor, past: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """x: (B, T, width); past: keys and values of earlier positions, each (B, h, past, d). -> x and the new past."""
        ### BEGIN SOLUTION: attend to the past and to x, then the MLP
        q, k, v = (self._split(part) for part in self.qkv(self.norm_attention(x)).chunk(3, dim=-1))
        past_length = 0
        if past is not None:
            past_length = past[0].shape[2]
            k, v = torch.cat([past[0], k], dim=2), torch.cat([past[1], v], dim=2)
        mixed = causal_attention(q, k, v, past_length)                           # (B, h, T, d)
        x = x + self.project(mixed.transpose(1, 2).flatten(2))
        return x + self.mlp(self.norm_mlp(x)), (k, v)
        ### END SOLUTION

    def _split(self, x: Tensor) -> Tensor:
        """(B, T, width) -> (B, heads, T, width / heads)."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class GPT(nn.Module):
    """Decoder-only transformer over tokens: logits at position t are those of token t+1 given tokens 0..t.

    Learned positions, no dropout.
    Raises ValueError when heads does not divide width, or when cache and idx together outgrow context_length.
    """

    def __init__(self, vocab_size: int, context_length: int, width: int, depth: int, heads: int):
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width} does not split into {heads} heads")
        self.context_length = context_length
        self.tokens, self.positions = nn.Embedding(vocab_size, width), nn.Embedding(context_length, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocab_size)
        for embedding in (self.tokens, self.positions):
            nn.init.normal_(embedding.weight, std=0.02)

    def forward(self, idx: Tensor, cache=None) -> tuple[Tensor, list]:
        """idx: (B, T) int64, the tokens that follow those in the cache; cache: None, or what an earlier call returned.

        Returns logits (B, T, vocab_size) and the cache of the longer sequence.
        """
        ### BEGIN SOLUTION: positions go on where the cache ends
        past_length = 0 if cache is None else cache[0][0].shape[2]
        length = past_length + idx.shape[1]
        if length > self.context_length:
            raise ValueError(f"a sequence of {length} tokens does not fit a context of {self.context_length}")
        x = self.tokens(idx) + self.positions(torch.arange(past_length, length, device=idx.device))
        new_cache = []
        for i, block in enumerate(self.blocks):
            x, past = block(x, None if cache is None else cache[i])
            new_cache.append(past)
        return self.head(self.norm(x)), new_cache
        ### END SOLUTION

# %% tags=["check_q8_gpt_cache"]
gpt = GPT(vocab_size=7, context_length=6, width=8, depth=2, heads=2)
idx = torch.tensor([[1, 5, 0, 2]])
logits, _ = gpt(idx)
assert logits.shape == (1, 4, 7), "logits are (B, T, vocab_size)"
first, cache = gpt(idx[:, :3])
assert torch.allclose(first, logits[:, :3], atol=1e-5), "a later token moves logits before it"
last, _ = gpt(idx[:, 3:], cache)
assert last.shape == (1, 1, 7), "with a cache there are logits for the new tokens only"
assert torch.allclose(last, logits[:, 3:], atol=1e-5), "read in pieces, the logits differ: which position do new tokens have?"

# %% [markdown]
# ## T4 What a cache saves (2 points, about 10 minutes)
#
# A GPT completes an avatar of 16 x 16 tokens. The prompt is a class token and the first two rows, 33 tokens; it draws
# the other 224. A *token pass* is one token going through the network once: a call with $T$ new tokens costs $T$ of
# them.
#
# `t4_cached` and `t4_uncached`: how many token passes are needed in all, with a cache (the prompt in one call, then
# each new token), and without (every call reads the whole sequence so far)? The last token drawn is never read. Give
# ints.
#
# `t4_quadratic`: with a cache, which of these is still **quadratic** in the length of the whole sequence? A letter:
# - `"A"` the memory that the cache takes at the end
# - `"B"` the work of all MLP layers, summed over the generation
# - `"C"` the number of products of a query with a key, summed over the generation
# - `"D"` the number of calls of the network
#
# Source: Pope 2022, arXiv:2211.05102, section 2.

# %% tags=["t4_kv_cache"]
### BEGIN SOLUTION: t4_cached = ..., t4_uncached = ... (ints), t4_quadratic = "..." (a letter)
prompt_tokens, new_tokens = 33, 224
t4_cached = prompt_tokens + (new_tokens - 1)
t4_uncached = sum(range(prompt_tokens, prompt_tokens + new_tokens))
t4_quadratic = "C"
### END SOLUTION

# %% tags=["check_t4_kv_cache"]
assert isinstance(t4_cached, int) and isinstance(t4_uncached, int), "give whole numbers"
assert t4_quadratic in ("A", "B", "C", "D"), "give one letter"
assert t4_cached < t4_uncached, "a cache saves passes"

# %% [markdown]
# ## T5 Temperature of a step, temperature of a sequence (2 points, about 15 minutes)
#
# Temperature sharpens a distribution: $p_T(x) \propto p(x)^{1/T}$. Language models apply it to every step. That is not
# the same as applying it to whole sequences: the normaliser of a step depends on what was drawn before.
#
# A sequence has two tokens, $a \in \{0, 1\}$ and $b \in \{0, 1, 2\}$. $p(a) = (0.55, 0.45)$;
# $p(b \mid a = 0) = (0.4, 0.35, 0.25)$; $p(b \mid a = 1) = (0.9, 0.05, 0.05)$. At $T = 0.5$, what is the probability of
# the sequence $(a, b) = (1, 0)$
#
# - `t5_per_step`: when each of the two steps is sharpened by itself,
# - `t5_joint`: when the distribution over the six sequences is sharpened?
#
# Give floats, right to within 0.001.
# Source: Holtzman 2020, arXiv:1904.09751, section 3.

# %% tags=["t5_temperature"]
### BEGIN SOLUTION: t5_per_step = ..., t5_joint = ... (floats)
p_a, p_b = np.array([0.55, 0.45]), np.array([[0.4, 0.35, 0.25], [0.9, 0.05, 0.05]])
sharp_a, sharp_b = p_a**2 / (p_a**2).sum(), p_b**2 / (p_b**2).sum(axis=1, keepdims=True)      # 1 / T = 2
sharp_joint = (p_a[:, None] * p_b) ** 2
t5_per_step = float(sharp_a[1] * sharp_b[1, 0])
t5_joint = float(sharp_joint[1, 0] / sharp_joint.sum())
### END SOLUTION

# %% tags=["check_t5_temperature"]
assert all(isinstance(t, float) and 0 < t < 1 for t in (t5_per_step, t5_joint)), "probabilities, as floats"
assert abs(t5_per_step - t5_joint) > 0.01, "the two are different things"

# %% [markdown]
# ## Q9 Sampling and generation (4 points, about 40 minutes)
#
# A model of sequences becomes a generator by a loop: run it, draw the next token from the logits at the last position,
# append. What is drawn can be made safer than the model: a **temperature** below 1 sharpens, **top-k** keeps the $k$
# most likely tokens, **top-p** (nucleus sampling) keeps the smallest set of most likely tokens that holds at least
# probability $p$. Source: Holtzman 2020, arXiv:1904.09751, section 3.
#
# **Conventions.**
# - Temperature comes first, then top-k, then top-p on what is left, renormalised. The token with which the sum reaches
#   `top_p` stays, so at least one always does. Temperature 0 takes the most likely token.
# - `ValueError` for `temperature < 0`, `top_k < 1`, and `top_p` outside (0, 1]. A `top_k` above the vocabulary keeps
#   all.
# - `generate` works with whatever is called like `GPT`. With `use_cache=True` it reads the prompt once and then one
#   token a call, handing on the cache; with `False` it reads the whole sequence each time and hands in none. From equal
#   generators both draw the same tokens. Options for drawing are passed on to `sample_logits`, the generator too.
# - `bits_per_dim(nll, num_dims)`: `nll` in nats per example, summed over its dimensions, a float or a tensor of any
#   shape. Until now `common.metrics.nats_to_bits_per_dim` did this for you.

# %% tags=["q9_generate"]
def sample_logits(
    logits: Tensor,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Draw one token per row from softmax(logits / temperature), cut to top_k tokens, then to the top_p nucleus.

    logits: (B, V). temperature 0 takes the most likely token. top_p keeps the smallest set of most likely tokens whose
    probability, renormalised after top_k, reaches top_p: the token that crosses the line stays. Returns (B,) int64.
    Raises ValueError for temperature < 0, top_k < 1, or top_p outside (0, 1].
    """
    ### BEGIN SOLUTION: sort, cut, draw
    if temperature < 0 or (top_k is not None and top_k < 1) or (top_p is not None and not 0 < top_p <= 1):
        raise ValueError(f"need temperature >= 0, top_k >= 1, 0 < top_p <= 1; got {temperature}, {top_k}, {top_p}")
    if temperature == 0:
        return logits.argmax(dim=-1)
    logits, token = (logits / temperature).sort(dim=-1, descending=True)
    if top_k is not None:
        logits[:, top_k:] = -math.inf
    probs = logits.softmax(dim=-1)
    if top_p is not None and top_p < 1:
        before = probs.cumsum(dim=-1) - probs                                    # probability of all more likely tokens
        probs = probs.masked_fill(before >= top_p, 0)                            # multinomial renormalises
    return token.gather(1, torch.multinomial(probs, 1, generator=generator))[:, 0]
    ### END SOLUTION


@torch.no_grad()
def generate(
    model: Callable,
    prompt: Tensor,
    num_tokens: int,
    use_cache: bool = True,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Append num_tokens tokens to the prompt, each drawn with sample_logits from the logits at the last position.

    model: called as GPT is. prompt: (B, T0) int64 with T0 >= 1. With use_cache the model reads the prompt once and then
    only the newest token; without, the whole sequence each time. Both draw the same tokens from the same generator.
    Returns (B, T0 + num_tokens) int64.
    """
    ### BEGIN SOLUTION: a loop of forward and draw
    tokens, fed, cache = prompt, prompt, None
    for _ in range(num_tokens):
        logits, cache = model(fed, cache if use_cache else None)
        new = sample_logits(logits[:, -1], temperature, top_k, top_p, generator)[:, None]
        tokens = torch.cat([tokens, new], dim=1)
        fed = new if use_cache else tokens
    return tokens
    ### END SOLUTION


def bits_per_dim(nll: float | Tensor, num_dims: int) -> float | Tensor:
    """Negative log-likelihood in nats, summed over num_dims dimensions, to bits per dimension; keeps the shape."""
    ### BEGIN SOLUTION: change the base, share among dimensions
    return nll / (num_dims * math.log(2))
    ### END SOLUTION

# %% tags=["check_q9_generate"]
logits = torch.tensor([[0.0, 3.0, 1.0]]).repeat(50, 1)
assert sample_logits(logits).shape == (50,) and sample_logits(logits).dtype == torch.int64, "one token per row"
assert (sample_logits(logits, temperature=0) == 1).all(), "temperature 0 takes the most likely token"
assert set(sample_logits(logits, top_k=2).tolist()) <= {1, 2}, "top_k=2 leaves the two most likely tokens"
def count_up(idx, cache=None):
    return F.one_hot((idx + 1) % 5, 5) * 50.0, cache


tokens = generate(count_up, torch.tensor([[3]]), num_tokens=4)
assert tokens.tolist() == [[3, 4, 0, 1, 2]], "this model counts up modulo 5, and the prompt comes first"
assert math.isclose(bits_per_dim(2 * math.log(2), 2), 1.0), "two dimensions that cost ln 2 nats each: 1 bit/dim"

# %% tags=["experiment"]
base = torch.tensor([2.2, 1.9, 1.5, 1.0, 0.6, 0.1, -0.5, -1.2])
settings = {"T = 0.5": {"temperature": 0.5}, "top_k = 3": {"top_k": 3}, "top_p = 0.8": {"top_p": 0.8}}
shares = {"T = 1": base.softmax(0)} | {
    label: fit_histogram(sample_logits(base.repeat(20_000, 1), generator=generator(0), **options), 8)
    for label, options in settings.items()
}
plot_bars(shares, xlabel="token", title="20,000 draws from the same logits", name="q9_sampling")

# %% [markdown]
# Cached against uncached generation, with an untrained GPT of the size of E2. Both axes are logarithmic: how steep are
# the lines, and what does T4 say about it?

# %% tags=["experiment"]
gpt = GPT(vocab_size=38, context_length=257, width=96, depth=3, heads=4)
lengths = by_preset(smoke=(16, 64), small=(16, 32, 64, 128, 256), full=(16, 32, 64, 128, 256))
seconds = {"cached": [], "uncached": []}
for length in lengths:
    for label in seconds:
        started = time.perf_counter()
        generate(gpt, torch.zeros(8, 1, dtype=torch.long), length, use_cache=label == "cached")
        seconds[label].append(time.perf_counter() - started)
print(f"{lengths[-1]} tokens, batch 8: {seconds['cached'][-1]:.2f} s cached, {seconds['uncached'][-1]:.2f} s uncached")
plot_lines(lengths, seconds, xlabel="tokens generated", ylabel="seconds", log="xy", title="Batch of 8",
           name="q9_timing")

# %% [markdown]
# ## E2 A GPT that draws avatars (4 points, about 45 minutes)
#
# An image is a sequence too. Each avatar has 16 x 16 pixels, each pixel one of $P = 32$ colours of a palette. A
# sequence is a **class token**, then the 256 pixels in raster order. The class is the hair colour: six values, so class
# token $P + a$ for value $a$, and a vocabulary of 38 tokens. The model is trained to predict each of the 256 pixels
# from the class and the pixels before it. Source: Chen 2020 (iGPT), sections 2 and 3.
#
# For two points of reference: a uniform guess over the palette costs 5 bits/token, a histogram of every pixel by itself
# about 2.00.
#
# **Your job.** Write the loss. Choose size and training so that the run takes at most 3 minutes on two cores. When
# grading, the model is rebuilt and scored on other avatars, in bits/token given the class; the right class must save at
# least 1 bit an image against a wrong one; and cached and uncached logits must agree.
#
# **Expected.** 0.17 to 0.21 bits/token on the test set. Full points up to 0.25 bits/token, none from 0.60, in equal
# steps between. For comparison, published: a Sparse Transformer has 2.80 bits/dim on CIFAR-10 (Child 2019,
# arXiv:1904.10509): natural images with 256 levels, three values a pixel, days on GPUs. Avatars are drawn by rules from
# a few parts, so most pixels follow from the pixels before, and far less than that is possible.

# %% tags=["e2_avatar_gpt"]
PALETTE, HAIR = len(avatars_train.palette), avatars_train.values["hair_color"]


def avatar_sequences(avatar_set) -> Tensor:
    """(N, 257) int64: class token PALETTE + hair colour, then 256 palette tokens."""
    return torch.cat([PALETTE + avatar_set.attributes["hair_color"][:, None], avatar_set.tokens.flatten(1)], dim=1)


def e2_loss(model: nn.Module, sequence: Tensor) -> Tensor:
    """Mean cost in bits of the 256 palette tokens, each given all tokens before it. sequence: (B, 257). -> scalar."""
    ### BEGIN SOLUTION: logits at position t predict token t + 1
    logits, _ = model(sequence[:, :-1])
    return F.cross_entropy(logits.transpose(1, 2), sequence[:, 1:]) / math.log(2)
    ### END SOLUTION


### BEGIN SOLUTION: e2_config (arguments of GPT), e2_training (steps, batch_size, learning_rate, ... of fit)
e2_size = by_preset(smoke={"width": 32, "depth": 1, "heads": 2}, small={"width": 96, "depth": 3, "heads": 4},
                    full={"width": 256, "depth": 8, "heads": 8})
e2_config = {"vocab_size": PALETTE + len(HAIR), "context_length": 257, **e2_size}
e2_training = by_preset(
    smoke={"steps": 20, "batch_size": 4, "learning_rate": 3e-3},
    small={"steps": 500, "batch_size": 16, "learning_rate": 3e-3, "warmup": 20, "weight_decay": 0.1},
    full={"steps": 20_000, "batch_size": 64, "learning_rate": 1e-3, "warmup": 200, "weight_decay": 0.1},
)
### END SOLUTION


def e2_validate(model: nn.Module) -> Tensor:
    """Mean loss over the last 250 training avatars, which the model does not learn from."""
    return torch.stack([e2_loss(model, x.to(DEVICE)) for x in train_sequences[9750:].split(50)]).mean()


train_sequences, test_sequences = avatar_sequences(avatars_train), avatar_sequences(avatars_test)
seed_everything(SEED)
e2_model = GPT(**e2_config)
e2_history = fit(e2_model, e2_loss, train_sequences[:9750], seed=SEED, name="e2_avatar_gpt",
                 validate=e2_validate, validate_every=max(1, e2_training["steps"] // 4), **e2_training)
artifacts.save("e2_avatar_gpt", e2_model, e2_config)
print(e2_history)

# %% tags=["check_e2_avatar_gpt"]
from common import artifacts
from common.data import avatars

saved, some = artifacts.load("e2_avatar_gpt", [GPT]), avatars("test")
sequence = torch.cat([32 + some.attributes["hair_color"][:8, None], some.tokens[:8].flatten(1)], dim=1)
with torch.no_grad():
    logits, _ = saved(sequence[:, :-1])
assert logits.shape == (8, 256, 38), "the checkpoint must be a GPT over 32 palette tokens and 6 class tokens"
cost = F.cross_entropy(logits.transpose(1, 2), sequence[:, 1:]) / math.log(2)
assert cost < 5, f"{cost:.2f} bits/token: a uniform guess costs 5"

# %% tags=["experiment"]
e2_model.to(DEVICE)
with torch.no_grad():
    batches = test_sequences.to(DEVICE).split(50)
    e2_bits = torch.tensor([e2_loss(e2_model, x) for x in batches])
    wrong = [torch.cat([PALETTE + (x[:, :1] - PALETTE + 1) % len(HAIR), x[:, 1:]], dim=1) for x in batches]
    e2_wrong = torch.tensor([e2_loss(e2_model, x) for x in wrong])
shares = F.one_hot(avatars_train.tokens, PALETTE).double().mean(0).clamp(min=1e-5)                   # (16, 16, 32)
independent = -shares.log2()[None].expand(1000, -1, -1, -1).gather(3, avatars_test.tokens[..., None]).mean()
print(f"test {e2_bits.mean():.4f} bits/token, with a wrong class {e2_wrong.mean():.4f}; "
      f"independent pixels {independent:.3f}, uniform 5; {e2_history.seconds:.0f} s of training")
plot_losses(e2_history, floor={"independent pixels": independent}, ylabel="bits/token", title="GPT on pixel avatars",
            name="e2_losses")

# %% [markdown]
# Avatars for every class, then one class at several temperatures. `generate` uses the cache.

# %% tags=["experiment"]
def draw_avatars(hair: Tensor, **options) -> Tensor:
    """Avatars (n, 16, 16) for hair colours (n,); options as in generate."""
    prompt = (PALETTE + hair[:, None]).to(DEVICE)
    tokens = generate(e2_model, prompt, 256, generator=generator(0, DEVICE), **options)[:, 1:]
    return tokens.cpu().clamp(max=PALETTE - 1).view(-1, 16, 16)        # an untrained model may draw a class token


columns = by_preset(smoke=2, small=10, full=12)
e2_samples = draw_avatars(torch.arange(len(HAIR)).repeat_interleave(columns))
show_images(e2_samples, columns=columns, palette=avatars_train.palette, row_labels=HAIR, title="Samples by hair colour",
            name="e2_samples")
temperatures = by_preset(smoke=(0.5, 1.0), small=(0.3, 0.7, 1.0, 1.3), full=(0.3, 0.7, 1.0, 1.3))
warm = torch.cat([draw_avatars(torch.full((columns,), 2), temperature=t) for t in temperatures])
show_images(warm, columns=columns, palette=avatars_train.palette, row_labels=[f"T = {t}" for t in temperatures],
            title="Red hair at several temperatures", name="e2_temperatures")

# %% [markdown]
# Does it copy? For each sample, the training avatar with the fewest differing pixels. Real test avatars are the
# yardstick: they are new by construction, so their distances show what "not copied" looks like. Samples that are much
# nearer would be memorised.

# %% tags=["experiment"]
def nearest(images: Tensor) -> tuple[Tensor, Tensor]:
    """The number of differing pixels to the nearest training avatar, and its index, for (n, 16, 16) tokens."""
    train = avatars_train.tokens.flatten(1).byte()
    found = [(train != image.flatten().byte()).sum(1).min(0) for image in images]
    return torch.stack([f.values for f in found]), torch.stack([f.indices for f in found])


(sample_distance, index), (test_distance, _) = nearest(e2_samples), nearest(avatars_test.tokens[:200])
shown = torch.linspace(0, len(e2_samples) - 1, min(12, len(e2_samples))).long()
pairs = torch.cat([e2_samples[shown], avatars_train.tokens[index[shown]]])
show_images(pairs, columns=len(shown), palette=avatars_train.palette, row_labels=["sample", "nearest"],
            title="Samples and their nearest training avatars", name="e2_nearest")
print(f"differing pixels to the nearest training avatar, median: samples {sample_distance.median()}, "
      f"test avatars {test_distance.median()}; exact copies: samples {(sample_distance == 0).double().mean():.0%}, "
      f"test avatars {(test_distance == 0).double().mean():.0%}")

# %% [markdown]
# # Part 5. Report
#
# ## Report (10 points, about 2 hours)
#
# Two pages in the cell below, with figures from `figures/` and numbers that you measured. It must hold one **ablation**
# (the blind spot: plain against gated; or class conditioning: with and without; or depth), a **temperature study**, and
# the **memorisation test**. Marks: claims tied to figures or numbers (3), uncertainty over at least 3 seeds for one
# number (2), one failure met and diagnosed (2), a comparison with a floor or baseline and with a published value,
# naming the differences in protocol (2), a statement of compute and reproducibility (1).

# %% [markdown] tags=["r_report"]
# ## Report
#
# ### 1. What was trained
# ### BEGIN SOLUTION: data, models, sizes, training time
# ### END SOLUTION
#
# ### 2. Ablation, with mean and spread over at least 3 seeds
# ### BEGIN SOLUTION: one thing changed, all else equal; table or figure; what it shows and what it does not
# ### END SOLUTION
#
# ### 3. Temperature study
# ### BEGIN SOLUTION: at least 3 temperatures; one number for quality, one for variety; figure
# ### END SOLUTION
#
# ### 4. Memorisation
# ### BEGIN SOLUTION: distances to the nearest training images, beside those of test images
# ### END SOLUTION
#
# ### 5. A failure and its diagnosis
# ### BEGIN SOLUTION: what was seen, what was suspected, which test told, what mended it
# ### END SOLUTION
#
# ### 6. Comparison
# ### BEGIN SOLUTION: floor or baseline, published value, differences in protocol
# ### END SOLUTION
#
# ### 7. Compute and reproducibility
# ### BEGIN SOLUTION: machine, time, preset, seeds, versions, commands
# ### END SOLUTION
