# %% [markdown]
# # HW2 Normalizing flows
#
# A flow is an invertible map between data and noise. Send data $x$ through a map $f$ to $z = f(x)$, say that $z$ is
# standard normal, and the density of $x$ follows from the change of variables:
#
# $$\log p_X(x) = \log p_Z(f(x)) + \log \left| \det \frac{\partial f(x)}{\partial x} \right|.$$
#
# The second term says how much the map stretches space at $x$. It is what this homework is about: it has to be exact,
# and it has to be cheap, which a determinant of a $D \times D$ matrix is not. Every architecture below is an answer to
# that. Unlike HW1's models, a flow gives likelihoods of *real numbers*; unlike them, it can draw all dimensions of a
# sample at once.
#
# **After this homework you can**
# - change variables without losing a factor, a sign or a unit, and test that you did not;
# - build maps whose Jacobian is triangular (coupling, autoregressive) or whose trace is enough (continuous time);
# - say what density and samples cost in each family, and what invertibility forbids;
# - model discrete data with a continuous density, and report it in bits per dimension;
# - judge a likelihood by its floor, and say what it does not tell.
#
# <!-- questions -->
#
# **Reading.** Tomczak, *Deep Generative Modeling*, chapter 3. Murphy, *Probabilistic Machine Learning: Advanced
# Topics*, chapter 23. Papers: Dinh 2017 (RealNVP, arXiv:1605.08803), Papamakarios 2017 (MAF, 1705.07057), Kingma 2018
# (Glow, 1807.03039), Durkan 2019 (splines, 1906.04032), Grathwohl 2019 (FFJORD, 1810.01367), Nalisnick 2019
# (1810.09136), and the survey of Papamakarios 2021 (1912.02762). Each question names its section.
#
# **How to work.** Each question explains, gives the interface, and leaves you a `raise NotImplementedError("TODO ...")`
# to replace. The cell after it is a public check: it answers in under a second and catches slips. Your points come from
# further checks of the same properties on other inputs, so test more than the public check does. You may add functions,
# classes, methods and cells; keep the names, arguments and shapes that are given, and leave the check cells as they
# are. Plots and training stand in cells of their own, which are not run for grading: a class or function that a
# question needs belongs into the cell of that question.

# %% [markdown]
# ## Conventions
#
# These hold in all questions, and the checks rely on them.
#
# - **Direction.** `forward` goes from data to latent, $x \to z$, and is what a density needs. `inverse` goes from
#   latent to data, and is what a sample needs.
# - **A layer** is an `nn.Module` with `forward(x) -> (z, log_det)` and `inverse(z) -> (x, log_det)`. Each `log_det` is
#   that of the map that was applied: `inverse` returns $\log|\det \partial x / \partial z|$, which is minus what
#   `forward` returns at the same point.
# - **Shape.** `log_det` and `log_prob` are `(B,)`: one number per example, in nats, summed over all dimensions of the
#   example. An example's number never depends on the other examples of its batch (ActNorm's first batch is the one
#   exception). Batches of one example work. Inputs are not changed.
# - **Precision.** Code runs on the device its parameters are on, in float32. After `layer.double()`, with float64
#   inputs, results are float64 and accurate as such; functions without parameters take over the dtype of their inputs.
# - **Any parameters.** A layer must be right for all values of its parameters, not only for those it starts or trains
#   with: checks put random numbers there. So write a scale as $e^s$ or the like, never as a number that might be 0. You
#   may bound scales softly ($e^{c \tanh(s / c)}$, sigmoid, softplus), as long as `forward`, `inverse` and `log_det` all
#   use the bounded one.
# - **Save and load.** What a layer learns or masks with is a parameter or a buffer, or follows from the constructor's
#   arguments. A fresh layer of the same arguments that loads the state acts the same.
# - Whatever draws takes `generator: torch.Generator | None = None` and uses it for *every* random number. Samples need
#   no gradient; everything else does.
# - The base density is the standard normal unless a question says otherwise. `standard_normal_log_prob` is given below.

# %% [markdown]
# ## Set-up
#
# On your own machine: unpack the zip, install `requirements.txt`, start JupyterLab in the unpacked folder. On Colab:
# upload the zip of the homework to the session's files first; the cell below unpacks it.
#
# Training cells run at the preset `small` (the default): at most 3 minutes each on two CPU cores, at most 15 minutes
# for the whole notebook. To see in about a minute that everything runs, start with the environment variable
# `PRESET=smoke`. With a GPU, `PRESET=full` trains larger models.

# %% tags=["experiment"]
import importlib.util
import os
import sys
import zipfile
from pathlib import Path

if "google.colab" in sys.modules and not Path("common").exists():
    if not Path("hw2").exists():
        zipfile.ZipFile("hw2.zip").extractall()
    os.chdir("hw2")
if importlib.util.find_spec("common") is None:
    raise SystemExit(f"There is no folder common in {Path.cwd()}: start Jupyter in the homework's folder.")

# %% tags=["setup"]
import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def standard_normal_log_prob(z: Tensor) -> Tensor:
    """log N(z; 0, I) in nats, summed over all dimensions of an example. (B, ...) -> (B,)."""
    z = z.reshape(len(z), -1)
    return -0.5 * (z**2).sum(dim=1) - 0.5 * z.shape[1] * math.log(2 * math.pi)


def with_random_parameters(module: nn.Module, scale: float = 1.0, seed: int = 0) -> nn.Module:
    """The module with every parameter drawn anew, so that nothing is zero by its start."""
    draw = torch.Generator().manual_seed(seed)
    for p in module.parameters():
        p.data = torch.randn(p.shape, generator=draw, dtype=p.dtype) * scale / p[0].numel() ** 0.5
    return module

# %% [markdown]
# Three densities in the plane whose log-density and entropy are known. The entropy is a **floor**: no model's expected
# negative log-likelihood on new data is lower. Each has what makes flows sweat: moons are thin and curved, the eight
# Gaussians lie apart, and the checkerboard has edges.

# %% tags=["experiment"]
import copy
import time

from common import artifacts
from common.data import (
    checkerboard, digits, eight_gaussians, fashion_mnist, from_levels, gaussian_mixture_1d, moons, to_levels,
)  # fmt: skip
from common.data.densities import Density
from common.plotting import (
    plot_density_2d, plot_lines, plot_losses, plot_map_2d, plot_samples_2d, plot_trajectories, show_images, show_mask,
    use_style,
)  # fmt: skip
from common.seeding import generator, seed_everything
from common.training import History, by_preset, default_device, fit, preset

use_style()
DEVICE = default_device()
SEED = 0                                                             # change it for the report's uncertainty
DENSITIES = {"moons": moons(), "8 Gaussians": eight_gaussians(), "checkerboard": checkerboard()}
print(f"preset {preset()}, device {DEVICE}, torch {torch.__version__}")
print(", ".join(f"entropy of {name} {density.entropy:.4f} nats" for name, density in DENSITIES.items()))
plot_samples_2d({name: density.sample(3000, generator(0)) for name, density in DENSITIES.items()},
                title="3,000 points of each density", name="data_densities")

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
# # Part 1. Change of variables
#
# ## T2 Densities of transformed variables (2 points, about 15 minutes)
#
# In one dimension the determinant is a slope: if $z = f(x)$ has density $p_Z$, then $p_X(x) = p_Z(f(x))\,|f'(x)|$. It
# is the *forward* map, from the variable whose density you want, whose slope is taken. Give the **natural logarithm of
# the density** at the point named:
#
# 1. $x = e^{1.2 + 0.6 z}$ with $z \sim \mathcal N(0, 1)$, at $x = 5$ (`t2_log_normal`).
# 2. $y = -\ln(-\ln u)$ with $u \sim \mathrm{Uniform}(0, 1)$, at $y = 0.8$ (`t2_gumbel`).
# 3. $w = z^2$ with $z \sim \mathcal N(0, 1)$, at $w = 1.7$ (`t2_square`). This map can't be inverted: which points land
#    on 1.7?
#
# Floats, right to within 0.001; expressions that compute them are welcome. Source: Murphy 23.1; Papamakarios 2021,
# arXiv:1912.02762, section 2.1.

# %% tags=["t2_pushforward"]
### BEGIN SOLUTION: t2_log_normal = ..., t2_gumbel = ..., t2_square = ... (floats, log-densities in nats)
def log_normal_density(z: float) -> float:
    return -0.5 * z**2 - 0.5 * math.log(2 * math.pi)


x, y, w = 5.0, 0.8, 1.7
t2_log_normal = log_normal_density((math.log(x) - 1.2) / 0.6) - math.log(0.6 * x)      # z = (ln x - 1.2) / 0.6
t2_gumbel = -y - math.exp(-y)                                                          # u = exp(-exp(-y)), du/dy
t2_square = math.log(2) + log_normal_density(math.sqrt(w)) - math.log(2 * math.sqrt(w))  # both roots count
### END SOLUTION

# %% tags=["check_t2_pushforward"]
assert all(isinstance(t, float) for t in (t2_log_normal, t2_gumbel, t2_square)), "give numbers with a decimal point"
assert max(t2_log_normal, t2_gumbel, t2_square) < 0, "at these points all three densities are below 1"

# %% [markdown]
# ## Q1 A mixture's CDF (8 points, about 45 minutes)
#
# Every continuous variable can be made uniform by its own cumulative distribution function. So the CDF of a mixture of
# $K$ Gaussians,
#
# $$z = f(x) = \sum_{k=1}^{K} \pi_k\, \Phi\!\left(\frac{x - \mu_k}{\sigma_k}\right),
#   \qquad \log \left|\frac{dz}{dx}\right| = \log \sum_k \pi_k\, \mathcal N(x; \mu_k, \sigma_k^2),$$
#
# is a flow with learnable parameters, and the simplest one that is not a straight line. Its base density is
# $\mathrm{Uniform}(0, 1)$, whose log is 0: so `log_prob` is `log_det`, and nothing is added. (Scoring $z$ under a
# standard normal would be a different model, and one whose density does not integrate to 1.) Source: Murphy 23.2.2; Ho
# 2019 (Flow++, arXiv:1902.00275), section 3.2 uses such maps as coupling layers.
#
# The inverse has no formula, but $f$ increases, so it is found by **bisection**: keep an interval that holds the
# solution and halve it until float64 can't tell its ends apart.
#
# **Conventions.**
# - Exactly three learnable parameters, each of shape `(num_components,)`: mixture weights, means and scales, in a
#   parametrisation of your choice (logits, $\log\sigma$, softplus, ...). Permuting the components changes nothing.
#   Fresh components differ from each other, or they would stay equal for ever. A mixture of logistics instead of
#   Gaussians is fine, too.
# - `forward` stays accurate and finite far in the tails: `log_det` must not become $-\infty$ where a component's
#   density underflows. Rounding may make $z$ itself 0 or 1 there.
# - `inverse`, in float64, for $z$ from $10^{-4}$ to $1 - 10^{-4}$, means from -20 to 20 and scales from 0.01 to 20: $x$
#   is right to within $10^{-6}$, wherever the density is above $10^{-6}$ (where $f$ is flat, $z$ does not determine
#   $x$). Start from an interval that holds the solution for *all* of these. No gradient needs to flow through it.

# %% tags=["q1_mixture_cdf"]
class MixtureCDF(nn.Module):
    """z = sum_k pi_k Phi((x - mu_k) / sigma_k): the CDF of a one-dimensional mixture of Gaussians, as a flow.

    z is uniform on (0, 1) when x has the mixture's density, so log_det = log |dz/dx| is the log-density itself.
    Exactly three learnable parameters, each of shape (num_components,): weights, means and scales of the components.
    """

    def __init__(self, num_components: int):
        super().__init__()
        ### BEGIN SOLUTION: create three parameters, with means that differ
        self.logits = nn.Parameter(torch.zeros(num_components))
        self.means = nn.Parameter(torch.linspace(-1, 1, num_components + 2)[1:-1].clone())
        self.log_scales = nn.Parameter(torch.full((num_components,), -1.0))
        ### END SOLUTION

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x: (B,) any real numbers. Returns z (B,) in (0, 1) and log_det (B,) = log dz/dx in nats."""
        ### BEGIN SOLUTION: the mixture's CDF and its log-density
        standard = (x.unsqueeze(-1) - self.means) * torch.exp(-self.log_scales)                  # (B, K)
        z = (self.logits.softmax(0) * torch.special.ndtr(standard)).sum(-1)
        log_component = -0.5 * standard**2 - self.log_scales - 0.5 * math.log(2 * math.pi)
        return z, torch.logsumexp(self.logits.log_softmax(0) + log_component, dim=-1)
        ### END SOLUTION

    @torch.no_grad()
    def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """z: (B,) in (0, 1). Returns x (B,) with forward(x) = z, by bisection, and log_det (B,) = log dx/dz."""
        ### BEGIN SOLUTION: bracket the solution, then halve the bracket
        # Where every component's CDF is below z the mixture's is, too: its quantile lies between theirs.
        quantiles = self.means + self.log_scales.exp() * torch.special.ndtri(z).unsqueeze(-1)    # (B, K)
        low, high = quantiles.min(dim=-1).values, quantiles.max(dim=-1).values
        for _ in range(64):                         # a bracket of 200 shrinks to less than float64 can tell apart
            middle = (low + high) / 2
            below = self.forward(middle)[0] < z
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        x = (low + high) / 2
        return x, -self.forward(x)[1]
        ### END SOLUTION

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) in nats, under z ~ Uniform(0, 1). (B,) -> (B,)."""
        ### BEGIN SOLUTION: the base density is 1, so its log adds nothing
        return self.forward(x)[1]
        ### END SOLUTION

# %% tags=["check_q1_mixture_cdf"]
mixture = MixtureCDF(3).double()
assert [p.shape for p in mixture.parameters()] == [(3,)] * 3, "three parameters, one number per component in each"
x = torch.linspace(-2, 2, 9, dtype=torch.float64)
with torch.no_grad():
    z, log_det = mixture(x)
    slope = (mixture(x + 1e-5)[0] - mixture(x - 1e-5)[0]) / 2e-5
    back, log_det_back = mixture.inverse(z)
assert z.shape == log_det.shape == (9,), "z and log_det are (B,)"
assert ((z > 0) & (z < 1)).all() and (z.diff() > 0).all(), "a CDF rises from 0 to 1"
assert torch.allclose(slope.log(), log_det, atol=1e-6), "log_det is the logarithm of the slope dz/dx"
assert torch.allclose(back, x, atol=1e-6), "inverse(forward(x)) is x"
assert torch.allclose(log_det_back, -log_det, atol=1e-6), "the inverse map's log_det is minus the forward map's"

# %% [markdown]
# Fit it to 2,000 points of a density with three bumps, and look at the same model three ways: as a density, as a map,
# and by what the map makes of the data.
#
# **Expected.** EXPECTED_Q1 and a flat histogram: data sent through their own CDF are uniform.

# %% tags=["experiment"]
bumps = gaussian_mixture_1d()
few, fresh = bumps.sample(2000, generator(1)), bumps.sample(50_000, generator(2))
mixture = MixtureCDF(4)
fit(mixture, lambda model, x: -model.log_prob(x).mean(), few, steps=by_preset(smoke=50, small=500, full=500),
    batch_size=500, learning_rate=0.03, floor=bumps.entropy, precision="float32")
mixture.cpu()
with torch.no_grad():
    print(f"new data: {-mixture.log_prob(fresh).mean():.4f} nats, floor (entropy) {bumps.entropy:.4f}")
    line = torch.linspace(-1.3, 1.7, 200)
    z_line, log_p = mixture(line)
    z_data = mixture(fresh)[0]
plot_lines(line, {"truth": bumps.log_prob(line).exp(), "mixture": log_p.exp()}, xlabel="x", ylabel="density",
           title="As a density: the map's slope", name="q1_density")
plot_lines(line, {"z = f(x)": z_line}, xlabel="x", ylabel="z", title="As a map: data to (0, 1)", name="q1_map")
bins = torch.histc(z_data, 20, 0, 1) / len(z_data) * 20
plot_lines(torch.arange(20) / 20 + 0.025, {"data": bins}, floor={"uniform": 1.0}, xlabel="z", ylabel="density",
           title="What the map makes of the data", name="q1_uniform")

# %% [markdown]
# ## T1 A change of units (1 point, about 10 minutes)
#
# A density has units, so a likelihood means nothing until it is said in which. A flow was trained on colour images of
# 16 x 16 pixels ($3 \times 16 \times 16$ numbers), whose values $v$ in 0..255 were dequantized and scaled to $x = 2v /
# 255 - 1$. On test images it reports a mean log-density of $x$ of **411.8** nats per image.
#
# 1. `t1_log_density`: the mean log-density of the same images on the scale of $v$, in nats per image (within 0.1).
# 2. `t1_bits_per_dim`: the cost in bits per dimension that this means for the 256 levels, whose bins have width 1 on
#    the scale of $v$ (within 0.001).
#
# Source: Theis 2016, arXiv:1511.01844, section 3.1; Papamakarios 2021, arXiv:1912.02762, section 2.1.

# %% tags=["t1_units"]
### BEGIN SOLUTION: t1_log_density = ..., t1_bits_per_dim = ... (floats)
num_dims = 3 * 16 * 16
t1_log_density = 411.8 - num_dims * math.log(255 / 2)
t1_bits_per_dim = -t1_log_density / (num_dims * math.log(2))
### END SOLUTION

# %% tags=["check_t1_units"]
assert isinstance(t1_log_density, float) and isinstance(t1_bits_per_dim, float), "give numbers with a decimal point"
assert 0 < t1_bits_per_dim < 8, "256 levels need no more than 8 bits, by a uniform guess"

# %% [markdown]
# # Part 2. Triangular Jacobians
#
# ## Q2 Affine coupling (11 points, about 60 minutes)
#
# In $D$ dimensions the determinant costs $O(D^3)$, unless the Jacobian is triangular: then it is the product of the
# diagonal. A coupling layer gets there by treating the dimensions unequally. A mask $m$ of 0 and 1 lets some dimensions
# pass unchanged; these decide how the others are scaled and shifted:
#
# $$z = m \odot x + (1 - m) \odot \bigl(x \odot e^{s(m \odot x)} + t(m \odot x)\bigr), \qquad
#   \log\left|\det \frac{\partial z}{\partial x}\right| = \sum_{d:\, m_d = 0} s_d(m \odot x).$$
#
# The network that gives $s$ and $t$ may be anything: it is never inverted. To undo the layer, read off the dimensions
# that passed, compute the *same* $s$ and $t$ from them, and solve for the others. Source: Dinh 2017, arXiv:1605.08803,
# equations 4 to 9; Murphy 23.2.3; Tomczak 3.1.
#
# **Conventions.**
# - `mask[d] = 1`: dimension $d$ passes and conditions. `mask[d] = 0`: it is transformed. The mask is a tensor or a list
#   of 0 and 1 (any number type) with any number of each.
# - The network sees $m \odot x$ and nothing else of $x$. Its scale and its shift of each transformed dimension may
#   depend on *all* dimensions that pass.
# - $e^s$ stands for any positive function of the network's output (see the conventions above). A constant scale is too
#   little: volume must be able to change.
# - Starting as the identity (last layer zero) is good practice, not a must.

# %% tags=["q2_affine_coupling"]
class AffineCoupling(nn.Module):
    """Half of the dimensions pass and decide how the others are scaled and shifted. Dinh 2017, equations 4 to 9.

    z = m x + (1 - m) (x exp(s(m x)) + t(m x)); log |det dz/dx| = sum of s over the dimensions with m = 0.
    mask m: (D,) of 0 and 1, a tensor or a list; 1 passes and conditions, 0 is transformed. hidden: width of the network
    that gives s and t.
    """

    def __init__(self, mask: Tensor | Sequence[float], hidden: int):
        super().__init__()
        self.register_buffer("mask", torch.as_tensor(mask, dtype=torch.get_default_dtype()))
        ### BEGIN SOLUTION: a network from D numbers to s and t; start as the identity
        num_dims = len(self.mask)
        self.net = nn.Sequential(
            nn.Linear(num_dims, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(),
            nn.Linear(hidden, 2 * num_dims),
        )
        nn.init.zeros_(self.net[-1].weight)
        nn.init.zeros_(self.net[-1].bias)
        ### END SOLUTION

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, D) -> z (B, D), log_det (B,) = log |det dz/dx|."""
        ### BEGIN SOLUTION: scale and shift
        s, t = self._scale_and_shift(x)
        return x * s.exp() + t, s.sum(dim=1)
        ### END SOLUTION

    def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """(B, D) -> x (B, D), log_det (B,) = log |det dx/dz|."""
        ### BEGIN SOLUTION: the dimensions that passed are known, so s and t are, too
        s, t = self._scale_and_shift(z)
        return (z - t) * torch.exp(-s), -s.sum(dim=1)

    def _scale_and_shift(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """s in (-3, 3) and t, each (B, D), from the conditioning dimensions alone; both 0 where the mask is 1."""
        s, t = self.net(x * self.mask).chunk(2, dim=1)
        return (1 - self.mask) * 3 * torch.tanh(s / 3), (1 - self.mask) * t
        ### END SOLUTION

# %% tags=["check_q2_affine_coupling"]
coupling = with_random_parameters(AffineCoupling(torch.tensor([1, 0, 0]), hidden=8).double())
x = torch.randn(2, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
z, log_det = coupling(x)
assert z.shape == (2, 3) and log_det.shape == (2,), "z is (B, D), log_det is (B,)"
assert torch.equal(z[:, 0], x[:, 0]) and not torch.isclose(z[:, 1:], x[:, 1:]).any(), "mask 1 passes, mask 0 changes"
jacobian = torch.autograd.functional.jacobian(lambda x: coupling(x)[0], x)[0, :, 0]
assert jacobian[1, 2] == 0 and jacobian[2, 1] == 0, "a transformed dimension must not steer another one"
assert torch.isclose(torch.linalg.slogdet(jacobian).logabsdet, log_det[0]), "log_det is not that of the Jacobian"
back, log_det_back = coupling.inverse(z)
assert torch.allclose(back, x) and torch.allclose(log_det_back, -log_det), "inverse must undo forward"

# %% [markdown]
# What it does to a grid: one layer with random weights moves points along one axis only, so one family of lines stays
# where it is. Two layers with opposite masks move everything.

# %% tags=["experiment"]
first = with_random_parameters(AffineCoupling([1, 0], 32), 0.6)
second = with_random_parameters(AffineCoupling([0, 1], 32), 0.6, seed=1)
with torch.no_grad():
    plot_map_2d({
        "grid": lambda x: x,
        "mask (1, 0)": lambda x: first(x)[0],
        "then mask (0, 1)": lambda x: second(first(x)[0])[0],
    }, title="Affine coupling layers with random weights", name="q2_grid")

# %% [markdown]
# ## Q3 A stack of layers (6 points, about 30 minutes)
#
# A single coupling layer is weak; its strength comes in numbers. Invertible maps compose, and by the chain rule
# determinants multiply:
#
# $$z = f_L(\cdots f_2(f_1(x))), \qquad
#   \log p(x) = \log \mathcal N(z; 0, I)
#   + \sum_{l=1}^{L} \log \left|\det \frac{\partial f_l}{\partial h_{l-1}}\right|,$$
#
# where $h_{l-1}$ is what layer $l$ gets to see. To sample, draw $z$ and go back through the layers. Source:
# Papamakarios 2021, arXiv:1912.02762, equations 5 and 6; Murphy 23.1.
#
# **Conventions.**
# - `layers` stand in the order data to latent: `layers[0]` is the first to see $x$. They are `nn.Module`s with
#   `forward` and `inverse` as in the conventions above, and may be of any kind, also without parameters.
# - `event_shape` is the shape of one example, such as `(2,)` or `(1, 8, 8)`; the base is standard normal in all its
#   dimensions. Layers keep the shape.
# - `sample` draws in the dtype and on the device of the parameters (the default dtype where there are none).

# %% tags=["q3_flow"]
class Flow(nn.Module):
    """Layers one after the other, data -> latent, over a standard normal base.

    log p(x) = log N(z; 0, I) + sum over layers of log |det|. layers: modules with forward and inverse as above.
    event_shape: shape of one example, such as (2,) or (1, 8, 8).
    """

    def __init__(self, layers: Sequence[nn.Module], event_shape: Sequence[int]):
        super().__init__()
        self.layers, self.event_shape = nn.ModuleList(layers), tuple(event_shape)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, *event_shape) -> z of the same shape, log_det (B,) of the whole map."""
        ### BEGIN SOLUTION: log-determinants add up
        log_det = x.new_zeros(len(x))
        for layer in self.layers:
            x, part = layer(x)
            log_det = log_det + part
        return x, log_det
        ### END SOLUTION

    def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """(B, *event_shape) -> x of the same shape, log_det (B,) of the inverse map."""
        ### BEGIN SOLUTION: the last layer is undone first
        log_det = z.new_zeros(len(z))
        for layer in reversed(self.layers):
            z, part = layer.inverse(z)
            log_det = log_det + part
        return z, log_det
        ### END SOLUTION

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) in nats, summed over all dimensions of an example. Returns (B,)."""
        ### BEGIN SOLUTION: change of variables
        z, log_det = self.forward(x)
        return standard_normal_log_prob(z) + log_det
        ### END SOLUTION

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw n examples. Returns (n, *event_shape)."""
        ### BEGIN SOLUTION: draw latents, push them to the data
        like = next(self.parameters(), torch.empty(0))
        z = torch.randn(n, *self.event_shape, generator=generator, device=like.device, dtype=like.dtype)
        return self.inverse(z)[0]
        ### END SOLUTION

# %% tags=["check_q3_flow"]
class Affine(nn.Module):
    """z = scale * x + shift, for vectors of 2 dimensions."""

    def __init__(self, scale: float, shift: float):
        super().__init__()
        self.scale, self.shift = scale, shift

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.scale * x + self.shift, x.new_full((len(x),), 2 * math.log(self.scale))

    def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return (z - self.shift) / self.scale, z.new_full((len(z),), -2 * math.log(self.scale))


flow = Flow([Affine(2.0, 0.0), Affine(5.0, 1.0)], event_shape=(2,))
x = torch.tensor([[0.0, 0.0], [0.1, -0.3]])
z, log_det = flow(x)
assert torch.allclose(z, 10 * x + 1), "the layers are applied in the order in which they are given"
assert torch.allclose(log_det, torch.full((2,), 2 * math.log(10.0))), "log_det is the sum over all layers"
back, log_det_back = flow.inverse(z)
assert torch.allclose(back, x, atol=1e-6) and torch.allclose(log_det_back, -log_det), "inverse must undo forward"
assert math.isclose(float(flow.log_prob(x)[0]), -1 - math.log(2 * math.pi) + 2 * math.log(10), abs_tol=1e-4), (
    "log_prob is the base's log-density at z plus log_det"
)
assert flow.sample(3, torch.Generator().manual_seed(0)).shape == (3, 2), "sample returns (n, *event_shape)"

# %% [markdown]
# RealNVP in the plane is a stack of couplings with alternating masks. All experiments in the plane train alike: fresh
# points in every batch, mean negative log-likelihood as the loss, the entropy beside it. The figure of merit is the
# number of **nats above the floor**, $\mathbb E[\log p_\mathrm{data}(x) - \log p_\mathrm{model}(x)]$, which is the KL
# divergence from data to model, on 50,000 new points.
#
# Flows want full precision: with bfloat16 the map that is applied is not quite the one whose determinant is taken.

# %% tags=["setup"]
class CouplingFlow(Flow):
    """RealNVP in the plane: affine couplings with masks (1, 0), (0, 1), (1, 0), ..."""

    def __init__(self, num_layers: int, hidden: int):
        super().__init__([AffineCoupling([(i + 1) % 2, i % 2], hidden) for i in range(num_layers)], (2,))

# %% tags=["experiment"]
def train_2d(model: nn.Module, density: Density, steps: int, learning_rate: float, batch_size: int = 512,
             seed: int = SEED, **options) -> History:
    """Maximum likelihood on fresh points; options go to `fit`. Leaves the model on the CPU, in eval mode."""
    points = density.sample(min(steps * batch_size, 2_000_000), generator(seed + 1))
    held_out = density.sample(2000, generator(10_000)).to(DEVICE)
    history = fit(model, lambda m, x: -m.log_prob(x).mean(), points, steps=steps, batch_size=batch_size, seed=seed,
                  learning_rate=learning_rate, floor=density.entropy, precision="float32", warmup=min(50, steps // 10),
                  ema=0.995, validate=lambda m: -m.log_prob(held_out).mean(),
                  validate_every=max(1, steps // 5), **options)
    model.cpu()
    return history


@torch.no_grad()
def nats_above_floor(model: nn.Module, density: Density, n: int = 50_000) -> float:
    """KL(density || model) in nats, by the mean of log p_data - log p_model over n new points."""
    x = density.sample(n, generator(20_000))
    return float((density.log_prob(x) - torch.cat([model.log_prob(part) for part in x.split(10_000)])).mean())

# %% [markdown]
# **Expected.** EXPECTED_Q3

# %% tags=["experiment"]
seed_everything(SEED)
realnvp = CouplingFlow(num_layers=8, hidden=64)
q3_history = train_2d(realnvp, DENSITIES["moons"], steps=by_preset(smoke=30, small=1500, full=10_000),
                      learning_rate=2e-3)
print(f"RealNVP on moons: {nats_above_floor(realnvp, DENSITIES['moons']):.3f} nats above the floor "
      f"{DENSITIES['moons'].entropy:.4f}; {q3_history.seconds:.0f} s")
plot_losses(q3_history, ylabel="nats", title="RealNVP on moons", name="q3_losses")
with torch.no_grad():
    data, noise = DENSITIES["moons"].sample(2000, generator(3)), torch.randn(2000, 2, generator=generator(4))
    sets = {"data x": data, "f(x)": realnvp(data)[0], "noise z": noise, "inverse of z": realnvp.inverse(noise)[0]}
    plot_samples_2d(sets, extent=(-3.5, 3.5, -3.5, 3.5), title="Both directions of a RealNVP", name="q3_directions")
    plot_map_2d({"grid of z": lambda z: z, "its image in data space": lambda z: realnvp.inverse(z)[0]},
                extent=(-2, 2, -2, 2), title="Space, bent by the inverse map", name="q3_grid")

# %% [markdown]
# ## Q4 Masked autoregressive flow (10 points, about 60 minutes)
#
# A coupling layer lets half of the dimensions condition the other half. The finest triangular Jacobian lets every
# dimension depend on all before it, as in HW1's autoregressive models, now with real numbers:
#
# $$z_d = \bigl(x_d - \mu_d\bigr)\, e^{-a_d}, \qquad \mu_d, a_d \text{ functions of } \{x_j : \mathrm{rank}(j) <
#   \mathrm{rank}(d)\}, \qquad \log\left|\det\frac{\partial z}{\partial x}\right| = -\sum_d a_d.$$
#
# Read from right to left it is a Gaussian autoregressive model, $x_d = \mu_d + e^{a_d} z_d$. One pass of a MADE gives
# all $\mu_d$ and $a_d$, hence the density. To sample, $\mu_d$ needs the $x_j$ that come before: $D$ passes. (Let $\mu$
# and $a$ depend on the earlier $z_j$ instead, and you have the inverse autoregressive flow, IAF: T5 asks what changes.)
# Source: Papamakarios 2017, arXiv:1705.07057, section 3.1, equations 2 to 5; Germain 2015 for the masks; Murphy 23.2.4.
#
# **Conventions.**
# - `ordering[d]` is the **rank** of dimension `d`, as in HW1. `ordering=[1, 2, 0]` says: dimension 0 comes second,
#   dimension 1 comes third, dimension 2 comes first. `None` is the identity. What is no permutation of `0..num_dims-1`
#   raises `ValueError`.
# - `hidden` is the width of each hidden layer (one, two or three of them). When it is at least `num_dims - 1`, **no
#   allowed dependency may be lost**: $\mu_d$ and $a_d$ can see *every* dimension of lower rank. A narrower one must
#   lose some, and still never leak. With `num_dims=1` it is an affine map by two constants.
# - The masks hold in every pass, also after an optimiser has changed the weights. Use your MADE of HW1 if you like.
# - `forward` is one pass through the network, `inverse` and `sample` are `num_dims` passes.
# - `log_prob` and `sample` have a standard normal base, as in `Flow`; a `MAF` is also a layer of a `Flow`.

# %% tags=["q4_maf"]
class MaskedLinear(nn.Linear):
    """A linear layer whose weight is multiplied by a fixed 0/1 mask in every forward pass. mask: (out, in)."""

    def __init__(self, mask: Tensor):
        super().__init__(mask.shape[1], mask.shape[0])
        self.register_buffer("mask", mask.to(self.weight))

    def forward(self, x: Tensor) -> Tensor:
        ### BEGIN SOLUTION: as in HW1
        return F.linear(x, self.weight * self.mask, self.bias)
        ### END SOLUTION


class MAF(nn.Module):
    """z_d = (x_d - mu_d) exp(-a_d), where mu_d and a_d see the dimensions of lower rank. Papamakarios 2017, 3.1.

    ordering[d] is the RANK of dimension d (0 comes first); None is the identity. hidden: width of the network's hidden
    layers; with hidden >= num_dims - 1 no allowed dependency may be lost.
    Raises ValueError when ordering is no permutation of 0..num_dims-1.
    """

    def __init__(self, num_dims: int, hidden: int, ordering: Sequence[int] | None = None):
        super().__init__()
        self.num_dims = num_dims
        ### BEGIN SOLUTION: check the ordering, give every unit a degree, build the masked network
        rank = torch.arange(num_dims) if ordering is None else torch.as_tensor(ordering)
        if sorted(rank.tolist()) != list(range(num_dims)):
            raise ValueError(f"ordering must be a permutation of 0..{num_dims - 1}, got {rank.tolist()}")
        # A hidden unit of degree m sees the dimensions of rank <= m. Rank D-1 is of use to nobody: degrees end at D-2.
        degree = torch.arange(hidden) % max(1, num_dims - 1)
        self.order = rank.argsort().tolist()                    # which dimension comes first, second, ...
        self.net = nn.Sequential(
            MaskedLinear(degree[:, None] >= rank[None, :]),
            nn.ReLU(),
            MaskedLinear(degree[:, None] >= degree[None, :]),
            nn.ReLU(),
            MaskedLinear((rank[:, None] > degree[None, :]).repeat(2, 1)),       # all mu, then all a
        )
        ### END SOLUTION

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, D) -> z (B, D), log_det (B,) = log |det dz/dx|. One pass through the network."""
        ### BEGIN SOLUTION: all dimensions at once
        mu, a = self._shift_and_log_scale(x)
        return (x - mu) * torch.exp(-a), -a.sum(dim=1)
        ### END SOLUTION

    def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """(B, D) -> x (B, D), log_det (B,) = log |det dx/dz|. D passes, one dimension after the other by rank."""
        ### BEGIN SOLUTION: x_d needs the x of lower rank, so D passes
        x, log_det = torch.zeros_like(z), z.new_zeros(len(z))
        dims = torch.arange(self.num_dims, device=z.device)
        for d in self.order:
            mu, a = self._shift_and_log_scale(x)
            x = torch.where(dims == d, z * a.exp() + mu, x)
            log_det = log_det + a[:, d]
        return x, log_det
        ### END SOLUTION

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) in nats under a standard normal base. (B, D) -> (B,)."""
        ### BEGIN SOLUTION: change of variables
        z, log_det = self.forward(x)
        return standard_normal_log_prob(z) + log_det
        ### END SOLUTION

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw n points. Returns (n, D)."""
        ### BEGIN SOLUTION: draw latents, invert
        like = self.net[0].weight
        z = torch.randn(n, self.num_dims, generator=generator, device=like.device, dtype=like.dtype)
        return self.inverse(z)[0]

    def _shift_and_log_scale(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """mu and a, each (B, D); a is kept within (-5, 5), so that no scale overflows."""
        mu, a = self.net(x).chunk(2, dim=1)
        return mu, 5 * torch.tanh(a / 5)
        ### END SOLUTION

# %% tags=["check_q4_maf"]
maf = with_random_parameters(MAF(num_dims=3, hidden=8, ordering=[1, 2, 0]).double())
x = torch.randn(2, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
z, log_det = maf(x)
assert z.shape == (2, 3) and log_det.shape == (2,), "z is (B, D), log_det is (B,)"
jacobian = torch.autograd.functional.jacobian(lambda x: maf(x)[0], x)[0, :, 0]
assert (jacobian.diagonal() > 0).all(), "z_d grows with x_d"
assert jacobian[2, 0] == jacobian[2, 1] == jacobian[0, 1] == 0, "a dimension sees one that comes after it"
assert torch.isclose(torch.linalg.slogdet(jacobian).logabsdet, log_det[0]), "log_det is not that of the Jacobian"
back, log_det_back = maf.inverse(z)
assert torch.allclose(back, x) and torch.allclose(log_det_back, -log_det), "inverse must undo forward"
assert torch.allclose(maf.log_prob(x), standard_normal_log_prob(z) + log_det), "log_prob is that of a flow"
assert maf.sample(5, torch.Generator().manual_seed(0)).shape == (5, 3), "sample returns (n, D)"

# %% [markdown]
# Three pictures. First, which inputs move which outputs: a coupling layer's Jacobian, and that of a MAF, for six
# dimensions (blue: not zero). Then what a single MAF makes of the moons in each of the two orders, with the same
# training: one conditional of a single layer is a Gaussian, so the order shows. A stack with alternating orders forgets
# it. Last, what dimensions cost: time for the density and for samples of a coupling layer and of a MAF.
#
# **Expected.** EXPECTED_Q4

# %% tags=["setup"]
class MAFlow(Flow):
    """Masked autoregressive layers in the plane, with orderings (0, 1), (1, 0), (0, 1), ..."""

    def __init__(self, num_layers: int, hidden: int):
        super().__init__([MAF(2, hidden, [i % 2, (i + 1) % 2]) for i in range(num_layers)], (2,))

# %% tags=["experiment"]
x = torch.randn(1, 6, generator=generator(0))
layers = {
    "coupling, 1 1 1 0 0 0": with_random_parameters(AffineCoupling([1, 1, 1, 0, 0, 0], 32)),
    "MAF, ranks 0 to 5": with_random_parameters(MAF(6, 32)),
    "MAF, ranks 3 0 5 1 4 2": with_random_parameters(MAF(6, 32, [3, 0, 5, 1, 4, 2])),
}
jacobians = {
    label: torch.autograd.functional.jacobian(lambda x, layer=layer: layer(x)[0], x)[0, :, 0] != 0
    for label, layer in layers.items()
}
show_mask(jacobians, unit="", title="Jacobians: which output (row) depends on which input (column)",
          name="q4_jacobians")

mafs = {}
for label, ordering in {"x before y": [0, 1], "y before x": [1, 0]}.items():
    seed_everything(SEED)
    mafs[f"1 MAF, {label}"] = MAF(2, 64, ordering)
seed_everything(SEED)
mafs["6 MAFs, alternating"] = MAFlow(6, 64)
for label, model in mafs.items():
    q4_history = train_2d(model, DENSITIES["moons"], steps=by_preset(smoke=30, small=1000, full=5000),
                          learning_rate=3e-3)
    above = nats_above_floor(model, DENSITIES["moons"])
    print(f"{label}: {above:.3f} nats above the floor, {q4_history.seconds:.0f} s")
with torch.no_grad():
    plot_density_2d({"truth": DENSITIES["moons"], **mafs}, extent=(-1.8, 2.8, -2.05, 2.55), resolution=150,
                    title="Masked autoregressive flows on moons", name="q4_moons")

# %% tags=["experiment"]
@torch.no_grad()
def milliseconds(function: Callable[[], object], repeats: int = 5) -> float:
    """The shortest of some runs: others were slowed down by something else."""
    function()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        function()
        times.append(1000 * (time.perf_counter() - started))
    return min(times)


sizes = by_preset(smoke=(4, 16), small=(4, 16, 64, 256), full=(4, 16, 64, 256))
cost = {label: [] for label in ("coupling, density", "coupling, sample", "MAF, density", "MAF, sample")}
for size in sizes:
    layers = {"coupling": AffineCoupling(torch.arange(size) % 2, 256), "MAF": MAF(size, 256)}
    x = torch.randn(64, size, generator=generator(0))
    for label, layer in layers.items():
        cost[f"{label}, density"].append(milliseconds(lambda layer=layer, x=x: layer(x)))
        cost[f"{label}, sample"].append(milliseconds(lambda layer=layer, x=x: layer.inverse(x)))
print("milliseconds for 64 points in D dimensions\n" + " " * 20 + "".join(f"D = {size:<8}" for size in sizes))
for label, times in cost.items():
    print(f"{label:20}" + "".join(f"{value:<12.2f}" for value in times))
plot_lines(sizes, cost, xlabel="dimensions", ylabel="milliseconds", log="xy", title="Density and samples of one layer",
           name="q4_cost")

# %% [markdown]
# ## Q7 Rational-quadratic splines (6 points, about 60 minutes)
#
# Affine maps keep the shape of a one-dimensional density and only move and widen it, so many layers are needed to bend
# one bump into two. A coupling layer may use *any* increasing function of the transformed dimension. Neural spline
# flows take one that is flexible, and that can be inverted by solving a quadratic equation: on $[-B, B]$ a chain of $K$
# pieces, each a ratio of two quadratic polynomials; outside the identity.
#
# Knots $(x_k, y_k)$, $k = 0, \dots, K$, run from $(-B, -B)$ to $(B, B)$, with slopes $\delta_k$. In the bin $[x_k,
# x_{k+1}]$ let $s_k = (y_{k+1} - y_k) / (x_{k+1} - x_k)$ and $\xi = (x - x_k) / (x_{k+1} - x_k) \in [0, 1]$. Then
#
# $$y = y_k + \frac{(y_{k+1} - y_k)\left[s_k \xi^2 + \delta_k \xi (1 - \xi)\right]}
#   {s_k + [\delta_{k+1} + \delta_k - 2 s_k]\, \xi (1 - \xi)}, \qquad
#   \frac{dy}{dx} = \frac{s_k^2 \left[\delta_{k+1} \xi^2 + 2 s_k \xi (1 - \xi) + \delta_k (1 - \xi)^2\right]}
#   {\left[s_k + [\delta_{k+1} + \delta_k - 2 s_k]\, \xi (1 - \xi)\right]^2}.$$
#
# Setting the first equation to a given $y$ gives $a \xi^2 + b \xi + c = 0$ (find $a$, $b$, $c$, or look at equations 6
# to 8 of the paper). Of its two roots the right one is $\xi = 2c / (-b - \sqrt{b^2 - 4ac})$: in this form nothing
# cancels when $a$ is nearly 0, where the map is nearly a straight line. Source: Durkan 2019, arXiv:1906.04032, section
# 3.1, equations 4 to 8, and appendix A; Murphy 23.2.2.
#
# **Conventions.** Knots come from unnormalised numbers:
# - The bins' widths are shares of the interval's length $2B$: share $k$ is $10^{-3} + (1 - 10^{-3} K)\,
#   \mathrm{softmax}(\texttt{widths})_k$. Heights likewise from `heights`.
# - The slopes at the $K - 1$ inner knots are $10^{-3} + \mathrm{softplus}(\texttt{derivatives})$; at both ends they are
#   exactly 1, so that value and slope go over into the identity without a jump.
# - All arguments have the same leading shape `(...)`, which may be anything. The spline works element by element:
#   `log_det` has the shape of `x`, nothing is summed.
# - With `inverse=True` the argument is a $y$, the first result is the $x$ with spline$(x) = y$, and `log_det` is $\log
#   dx/dy$. Mind which knots say in which bin a $y$ lies.
# - Outside $[-B, B]$: value unchanged, `log_det` 0. Gradients to all four tensors are finite everywhere: in the tails,
#   at $\pm B$, at knots. (`torch.where` sends a gradient of 0 into the branch that it does not take, and $0 \cdot
#   \infty$ is NaN: what the untaken branch computes must be finite, too.)
#
# `SplineCoupling` puts the spline into a coupling layer; E1 uses it. Only `_transform` is missing, and it is Q2 again.

# %% tags=["q7_spline"]
def rational_quadratic_spline(
    x: Tensor, widths: Tensor, heights: Tensor, derivatives: Tensor, bound: float, inverse: bool = False
) -> tuple[Tensor, Tensor]:
    """A smooth increasing map of [-bound, bound] to itself, the identity outside. Durkan 2019, section 3.1.

    x: (...). widths, heights: (..., K) and derivatives: (..., K-1), any real numbers: a bin's share of the interval is
    1e-3 + (1 - 1e-3 K) softmax(widths), the slope at an inner knot 1e-3 + softplus(derivatives), at both ends 1.
    Returns y (...) and log_det (...), elementwise, of the map that was applied: log |dy/dx| of the spline, or of its
    inverse when inverse=True.
    """
    ### BEGIN SOLUTION: knots, the bin of each x, the formula or its root
    knots_x, knots_y = _knots(widths, bound), _knots(heights, bound)                        # (..., K+1)
    slopes = F.pad(1e-3 + F.softplus(derivatives), (1, 1), value=1.0)                       # (..., K+1)
    # Outside the formula is not used, but its gradient still flows: it must be finite, so it sees a clamped x.
    inside = (x >= -bound) & (x <= bound)
    clamped = x.clamp(-bound, bound).unsqueeze(-1)                                          # (..., 1)
    bin_ = (clamped >= (knots_y if inverse else knots_x)[..., 1:-1]).sum(-1, keepdim=True)  # (..., 1) in 0..K-1
    x_0, x_1, y_0, y_1, d_0, d_1 = (
        values.gather(-1, bin_ + right).squeeze(-1) for values in (knots_x, knots_y, slopes) for right in (0, 1)
    )
    height, s = y_1 - y_0, (y_1 - y_0) / (x_1 - x_0)
    clamped = clamped.squeeze(-1)
    if inverse:                                                                             # equations 6 to 8
        rise = (clamped - y_0) * (d_0 + d_1 - 2 * s)
        a, b, c = height * (s - d_0) + rise, height * d_0 - rise, -s * (clamped - y_0)
        xi = 2 * c / (-b - torch.sqrt((b**2 - 4 * a * c).clamp(min=0)))  # no difference of nearly equal numbers
    else:
        xi = (clamped - x_0) / (x_1 - x_0)
    denominator = s + (d_0 + d_1 - 2 * s) * xi * (1 - xi)
    y = x_0 + xi * (x_1 - x_0) if inverse else y_0 + height * (s * xi**2 + d_0 * xi * (1 - xi)) / denominator  # eq. 4
    slope = s**2 * (d_1 * xi**2 + 2 * s * xi * (1 - xi) + d_0 * (1 - xi) ** 2) / denominator**2                # eq. 5
    log_det = -slope.log() if inverse else slope.log()
    return torch.where(inside, y, x), torch.where(inside, log_det, torch.zeros_like(log_det))


def _knots(sizes: Tensor, bound: float) -> Tensor:
    """Unnormalised bin sizes (..., K) to the K+1 borders of bins that fill [-bound, bound]: (..., K+1)."""
    shares = 1e-3 + (1 - 1e-3 * sizes.shape[-1]) * sizes.softmax(dim=-1)
    inner = 2 * bound * shares.cumsum(dim=-1)[..., :-1] - bound
    return F.pad(F.pad(inner, (1, 0), value=-bound), (0, 1), value=bound)
    ### END SOLUTION


class SplineCoupling(nn.Module):
    """Coupling layer whose transformed dimensions go through a rational-quadratic spline. Durkan 2019, section 3.2.

    mask: (D,) of 0 and 1, as in AffineCoupling. num_bins: K bins on [-bound, bound], outside the identity.
    """

    def __init__(self, mask: Tensor | Sequence[float], hidden: int, num_bins: int = 8, bound: float = 4.0):
        super().__init__()
        self.num_bins, self.bound = num_bins, bound
        self.register_buffer("mask", torch.as_tensor(mask, dtype=torch.get_default_dtype()))
        num_dims = len(self.mask)
        first = nn.Linear(num_dims, hidden)
        # The data's edges may lie anywhere: each unit's kink starts at a random point of [-bound, bound]^D, not near 0.
        nn.init.uniform_(first.weight, -8.0, 8.0)
        kinks = torch.empty_like(first.weight).uniform_(-bound, bound)
        first.bias.data = -(first.weight.data * self.mask * kinks).sum(dim=1)
        self.net = nn.Sequential(                                    # K widths, K heights, K-1 slopes per dimension
            first, nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, num_dims * (3 * num_bins - 1))
        )
        self.net[-1].weight.data.mul_(0.1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, D) -> z (B, D), log_det (B,)."""
        return self._transform(x, inverse=False)

    def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """(B, D) -> x (B, D), log_det (B,) of the inverse map."""
        return self._transform(z, inverse=True)

    def _transform(self, x: Tensor, inverse: bool) -> tuple[Tensor, Tensor]:
        ### BEGIN SOLUTION: spline the dimensions with mask 0, with parameters from those with mask 1
        parameters = self.net(x * self.mask).unflatten(1, (len(self.mask), -1))                # (B, D, 3K-1)
        widths, heights, derivatives = parameters.split([self.num_bins, self.num_bins, self.num_bins - 1], dim=-1)
        y, log_det = rational_quadratic_spline(x, widths, heights, derivatives, self.bound, inverse)
        passes = self.mask.bool()
        return torch.where(passes, x, y), log_det.masked_fill(passes, 0).sum(dim=1)
        ### END SOLUTION

# %% tags=["check_q7_spline"]
draw = torch.Generator().manual_seed(0)
widths, heights = torch.randn(2, 41, 5, generator=draw, dtype=torch.float64)
derivatives = torch.randn(41, 4, generator=draw, dtype=torch.float64)
x = torch.linspace(-4, 4, 41, dtype=torch.float64, requires_grad=True)
y, log_det = rational_quadratic_spline(x, widths, heights, derivatives, bound=3.0)
assert y.shape == log_det.shape == (41,), "value and log_det have the shape of x"
(slope,) = torch.autograd.grad(y.sum(), x)
assert torch.allclose(slope.log(), log_det), "log_det is the logarithm of the slope"
outside = x.abs() > 3
assert torch.equal(y[outside], x[outside]) and (log_det[outside] == 0).all(), "outside the bound it is the identity"
assert (y[~outside].abs() <= 3).all() and not torch.isclose(y, x)[1:-1][~outside[1:-1]].all(), "inside it is a spline"
back, log_det_back = rational_quadratic_spline(y.detach(), widths, heights, derivatives, bound=3.0, inverse=True)
assert torch.allclose(back, x) and torch.allclose(log_det_back, -log_det), "inverse=True undoes the spline"
layer = with_random_parameters(SplineCoupling([1, 0], hidden=8, num_bins=4).double())
points = torch.randn(2, 2, generator=draw, dtype=torch.float64)
z, log_det = layer(points)
assert torch.equal(z[:, 0], points[:, 0]) and log_det.shape == (2,), "SplineCoupling: mask 1 passes; log_det is (B,)"
assert torch.allclose(layer.inverse(z)[0], points), "SplineCoupling: inverse must undo forward"

# %% [markdown]
# One spline with five bins, its slope, and a coupling layer made of splines: unlike an affine layer it can push points
# of one line apart in the middle and together at the sides.

# %% tags=["experiment"]
draw = generator(5)
knots = [torch.randn(n, generator=draw).expand(301, n) for n in (5, 5, 4)]
x = torch.linspace(-4, 4, 301)
y, log_det = rational_quadratic_spline(x, *knots, bound=3.0)
inverse = rational_quadratic_spline(x, *knots, bound=3.0, inverse=True)[0]
plot_lines(x, {"spline": y, "slope": log_det.exp(), "inverse": inverse}, xlabel="x", ylabel="", name="q7_spline",
           title="A rational-quadratic spline on [-3, 3], the identity outside")
first = with_random_parameters(SplineCoupling([1, 0], 32, bound=2.0), 0.8)
second = with_random_parameters(SplineCoupling([0, 1], 32, bound=2.0), 0.8, seed=1)
with torch.no_grad():
    plot_map_2d({
        "grid": lambda x: x,
        "mask (1, 0)": lambda x: first(x)[0],
        "then mask (0, 1)": lambda x: second(first(x)[0])[0],
    }, extent=(-2.3, 2.3, -2.3, 2.3), title="Spline coupling layers with random weights", name="q7_grid")

# %% [markdown]
# # Part 3. Continuous time
#
# ## T3 Hutchinson's estimator (2 points, about 20 minutes)
#
# The next flow needs the *trace* of a Jacobian $A$ that no one wants to write out. If $\varepsilon$ is a random vector
# with $\mathbb E[\varepsilon \varepsilon^\top] = I$, then $\mathbb E[\varepsilon^\top A\, \varepsilon] =
# \mathrm{tr}(A)$: one product of $A$ with a vector gives an unbiased estimate. How noisy is it? For
#
# $$A = \begin{pmatrix} 2 & 1 & 0 \\ 3 & -1 & 2 \\ -2 & 0 & 4 \end{pmatrix}$$
#
# give `t3_mean`, the mean of $\varepsilon^\top A\, \varepsilon$; `t3_rademacher`, its variance when the entries of
# $\varepsilon$ are independent signs $\pm 1$; and `t3_gaussian`, its variance when they are independent standard
# normal. Mind that $A$ is not symmetric. Numbers, right to within 0.001. Source: Grathwohl 2019, arXiv:1810.01367,
# section 3.1; Murphy 23.2.6.

# %% tags=["t3_hutchinson"]
### BEGIN SOLUTION: t3_mean = ..., t3_rademacher = ..., t3_gaussian = ... (numbers)
matrix = [[2, 1, 0], [3, -1, 2], [-2, 0, 4]]
symmetric = [[(matrix[i][j] + matrix[j][i]) / 2 for j in range(3)] for i in range(3)]
squares, diagonal = sum(v**2 for row in symmetric for v in row), [matrix[i][i] for i in range(3)]
t3_mean = sum(diagonal)
t3_rademacher = 2 * (squares - sum(v**2 for v in diagonal))     # eps_i^2 = 1: the diagonal adds no variance
t3_gaussian = 2 * squares
### END SOLUTION

# %% tags=["check_t3_hutchinson"]
assert all(isinstance(t, (int, float)) for t in (t3_mean, t3_rademacher, t3_gaussian)), "give three numbers"
assert 0 < t3_rademacher < t3_gaussian, "variances are positive, and signs are the less noisy choice"

# %% [markdown]
# ## Q8 Continuous flows (8 points, about 60 minutes)
#
# Take ever more layers, each ever closer to the identity. In the limit a point moves along a vector field, $dx/dt =
# f(x, t)$, from a sample of the base at $t = 0$ to a data point at $t = 1$. Nothing about $f$ needs to be triangular,
# or even invertible: the flow of an ODE always is. And the log-density along the path changes by a trace instead of a
# determinant,
#
# $$\frac{d \log p(x(t))}{dt} = -\mathrm{tr}\left(\frac{\partial f}{\partial x}\right) = -\operatorname{div} f(x(t), t),
#   \qquad \log p_1(x) = \log \mathcal N(x(0); 0, I) - \int_0^1 \operatorname{div} f(x(t), t)\, dt.$$
#
# Three parts: the estimate of the divergence by $\varepsilon^\top \frac{\partial f}{\partial x} \varepsilon$, which
# costs one vector-Jacobian product; a solver; and the two together. Source: Chen 2018 (neural ODEs, arXiv:1806.07366),
# theorem 1; Grathwohl 2019, arXiv:1810.01367, equations 2, 4 and 7, algorithm 1; Murphy 23.2.6.
#
# **Conventions.**
# - `f(x, t)`: `x` is `(B, D)`, `t` a 0-dim tensor; the result is `(B, D)`, each row a function of its own row of `x`.
# - **Time** runs from 0 (base) to 1 (data). So the density of a given $x$ is found by solving from 1 *back* to 0.
# - `hutchinson_divergence` uses the `eps` that it is given, as it is, and returns one number per example,
#   $\varepsilon_b^\top J_b\, \varepsilon_b$. Training differentiates this number again: gradients must flow on to the
#   parameters of `f` and to `x`. It also works inside `torch.no_grad()`, and for an `x` that needs no gradient, whose
#   `requires_grad` it leaves as it is.
# - `rk4` is the classical method of order four: with $h = t_{n+1} - t_n$ (negative when times fall) $x_{n+1} = x_n +
#   \frac h6 (k_1 + 2 k_2 + 2 k_3 + k_4)$, $k_1 = f(x_n, t_n)$, $k_2 = f(x_n + \frac h2 k_1, t_n + \frac h2)$, $k_3 =
#   f(x_n + \frac h2 k_2, t_n + \frac h2)$, $k_4 = f(x_n + h k_3, t_{n+1})$. Steps need not be equal. `x` may have any
#   shape.
# - `cnf_log_prob` takes `steps` equal steps, with one `eps` for the whole path. It solves position and integral
#   *together*: the integral sees the divergence at each of the four stages, along the solver's own path.

# %% tags=["q8_continuous"]
Field = Callable[[Tensor, Tensor], Tensor]  # f(x (B, D), t ()) -> (B, D)


def hutchinson_divergence(f: Field, x: Tensor, t: Tensor, eps: Tensor) -> Tensor:
    """eps^T (df/dx) eps, an unbiased estimate of div f = tr(df/dx) when E[eps eps^T] = I. Grathwohl 2019, equation 7.

    f(x, t) -> (B, D); x, eps: (B, D); t: 0-dim tensor. Returns (B,), one estimate per example, through which gradients
    flow to f's parameters and to x. Works under torch.no_grad(), too.
    """
    ### BEGIN SOLUTION: a vector-Jacobian product that can itself be differentiated
    with torch.enable_grad():
        x = x if x.requires_grad else x.detach().requires_grad_()
        projection = (f(x, t) * eps).sum()                     # rows don't mix, so its gradient is eps^T J, row by row
        if not projection.requires_grad:                       # a field that depends on nothing has no divergence
            return x.new_zeros(len(x))
        (product,) = torch.autograd.grad(projection, x, create_graph=True, materialize_grads=True)
        return (product * eps).sum(dim=1)
    ### END SOLUTION


def rk4(f: Field, x: Tensor, times: Tensor) -> Tensor:
    """Solve dx/dt = f(x, t) from times[0] to times[-1] by the classical Runge-Kutta method, one step per interval.

    x: (B, D), the state at times[0]. times: (T+1,), rising or falling. Returns the state at times[-1].
    """
    ### BEGIN SOLUTION: four slopes a step
    for t, t_next in pairwise(times):
        h = t_next - t
        k_1 = f(x, t)
        k_2 = f(x + h / 2 * k_1, t + h / 2)
        k_3 = f(x + h / 2 * k_2, t + h / 2)
        k_4 = f(x + h * k_3, t_next)
        x = x + h / 6 * (k_1 + 2 * k_2 + 2 * k_3 + k_4)
    return x
    ### END SOLUTION


def cnf_log_prob(f: Field, x: Tensor, steps: int, eps: Tensor) -> Tensor:
    """log p(x) in nats of the flow dx/dt = f(x, t) that carries N(0, I) at t = 0 to the data at t = 1.

    log p(x) = log N(x(0); 0, I) - int_0^1 div f(x(t), t) dt along the path that ends in x(1) = x; the path and the
    integral are solved together by `steps` equal steps of rk4 from t = 1 to t = 0, the divergence is Hutchinson's with
    the same eps (B, D) at all times. x: (B, D). Returns (B,).
    """
    ### BEGIN SOLUTION: add the integral as one more dimension of the state
    def augmented(state: Tensor, t: Tensor) -> Tensor:
        position = state[:, :-1]
        return torch.cat([f(position, t), hutchinson_divergence(f, position, t, eps)[:, None]], dim=1)

    times = torch.linspace(1, 0, steps + 1, device=x.device, dtype=x.dtype)
    state = rk4(augmented, F.pad(x, (0, 1)), times)
    z, minus_integral = state[:, :-1], state[:, -1]                   # integrated from 1 to 0: the sign is turned
    return standard_normal_log_prob(z) + minus_integral
    ### END SOLUTION

# %% tags=["check_q8_continuous"]
A = torch.tensor([[0.5, 1.0], [-0.3, 0.2]], dtype=torch.float64)
x, eps = torch.randn(2, 3, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
def linear(x, t):
    return x @ A.T


def doubling(x, t):
    return math.log(2) * x


quadratic_form = torch.stack([e @ A @ e for e in eps])
assert torch.allclose(hutchinson_divergence(linear, x, torch.tensor(0.3), eps), quadratic_form), "eps^T A eps, per row"
assert hutchinson_divergence(lambda x, t: x**3, x.clone().requires_grad_(), torch.tensor(0.3), eps).requires_grad, (
    "gradients must flow through the divergence: create_graph"
)
times = torch.tensor([0.0, 0.3, 0.7, 1.0], dtype=torch.float64)
assert torch.allclose(rk4(linear, x, times), x @ torch.matrix_exp(A).T, atol=1e-3), "a linear field moves x by exp(A)"
assert torch.allclose(rk4(lambda x, t: t + 0 * x, x, times), x + 0.5), "the integral of t from 0 to 1 is 1/2"
expected = standard_normal_log_prob(x / 2) - 2 * math.log(2)
signs = torch.ones(3, 2, dtype=torch.float64)
assert torch.allclose(cnf_log_prob(doubling, x, 10, signs), expected, atol=1e-4), (
    "this field doubles every length between t = 0 and t = 1, so x has the density of a normal variable of scale 2"
)

# %% [markdown]
# The model: a small network as the field. In training each batch draws its own signs. For a reported number the
# estimate's noise is not welcome; in $D$ dimensions the $D$ vectors $\sqrt D\, e_i$ average to the exact trace, and for
# $D = 2$ that costs two solutions.

# %% tags=["setup"]
class CNF(nn.Module):
    """Continuous flow whose field is a network with tanh; `steps` of rk4. In training mode log_prob is an estimate."""

    def __init__(self, num_dims: int = 2, hidden: int = 64, steps: int = 8):
        super().__init__()
        self.num_dims, self.steps = num_dims, steps
        self.net = nn.Sequential(
            nn.Linear(num_dims + 1, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh(),
            nn.Linear(hidden, num_dims),
        )

    def field(self, x: Tensor, t: Tensor) -> Tensor:
        """dx/dt at (x, t), (B, D)."""
        return self.net(torch.cat([x, t.to(x).expand(len(x), 1)], dim=1))

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) in nats, (B, D) -> (B,); with random signs in training mode, with the exact divergence otherwise."""
        if self.training:
            return cnf_log_prob(self.field, x, self.steps, torch.randint_like(x, 2) * 2 - 1)
        axes = math.sqrt(self.num_dims) * torch.eye(self.num_dims, dtype=x.dtype, device=x.device)
        return torch.stack([cnf_log_prob(self.field, x, self.steps, axis.expand_as(x)) for axis in axes]).mean(dim=0)

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw n points, (n, D)."""
        weight = self.net[0].weight
        z = torch.randn(n, self.num_dims, generator=generator, device=weight.device, dtype=weight.dtype)
        return rk4(self.field, z, torch.linspace(0, 1, self.steps + 1, device=z.device, dtype=z.dtype))

# %% [markdown]
# **Expected.** EXPECTED_Q8 The paths show what coupling layers can't do: all coordinates move at once, and paths never
# cross in space and time.

# %% tags=["experiment"]
seed_everything(SEED)
cnf = CNF(hidden=by_preset(smoke=16, small=64, full=128), steps=by_preset(smoke=2, small=6, full=16))
q8_history = train_2d(cnf, DENSITIES["8 Gaussians"], steps=by_preset(smoke=5, small=500, full=5000),
                      learning_rate=1e-2, batch_size=256)
print(f"CNF on 8 Gaussians: {nats_above_floor(cnf, DENSITIES['8 Gaussians'], 10_000):.3f} nats above the floor "
      f"{DENSITIES['8 Gaussians'].entropy:.4f}; {q8_history.seconds:.0f} s")
with torch.no_grad():
    z = torch.randn(150, 2, generator=generator(0))
    moments = torch.linspace(0, 1, 21)
    paths = torch.stack([z] + [rk4(cnf.field, z, torch.linspace(0, float(t), cnf.steps + 1)) for t in moments[1:]])
    plot_trajectories(paths, title="From noise to data along the field", name="q8_paths")
    z = torch.randn(3000, 2, generator=generator(1))
    plot_samples_2d({
        f"t = {t:g}": rk4(cnf.field, z, torch.linspace(0, t, cnf.steps + 1)) for t in (0.0, 0.33, 0.66, 1.0)
    }, extent=(-4, 4, -4, 4), title="The base on its way to the data", name="q8_times")

# %% [markdown]
# ## T5 What density and samples cost (2 points, about 10 minutes)
#
# For points of $D$ dimensions, what does each flow pay, in passes through its network, (i) for the exact log-density of
# a given point that it did not draw itself, and (ii) for one sample?
#
# - **A**: one pass (a fixed number, independent of $D$)
# - **B**: $D$ passes, one after the other
# - **C**: as many passes as a solver takes steps and stages, independent of $D$ (with Hutchinson's estimate)
#
# Give four strings of two letters, density first: `t5_coupling`, `t5_maf`, `t5_iaf`, `t5_cnf`. `"BC"`, say, would be
# $D$ passes for a density and a solver's for a sample. Source: Papamakarios 2017, arXiv:1705.07057, section 3.2;
# Grathwohl 2019, arXiv:1810.01367, table 1.

# %% tags=["t5_costs"]
### BEGIN SOLUTION: t5_coupling = ..., t5_maf = ..., t5_iaf = ..., t5_cnf = ... (two letters each: density, sample)
ONE_PASS, PASS_PER_DIMENSION, PASS_PER_SOLVER_STAGE = "ABC"
t5_coupling = ONE_PASS + ONE_PASS
t5_maf = ONE_PASS + PASS_PER_DIMENSION
t5_iaf = PASS_PER_DIMENSION + ONE_PASS
t5_cnf = PASS_PER_SOLVER_STAGE + PASS_PER_SOLVER_STAGE
### END SOLUTION

# %% tags=["check_t5_costs"]
for answer in (t5_coupling, t5_maf, t5_iaf, t5_cnf):
    assert isinstance(answer, str) and len(answer) == 2 and set(answer) <= set("ABC"), 'two letters of "A", "B", "C"'

# %% [markdown]
# # Part 4. How close to the floor?
#
# ## T4 Below the entropy (1 point, about 10 minutes)
#
# A student trains a flow on `eight_gaussians()` of this course: eight equal Gaussians on a circle of radius $4 / \sqrt
# 2$, each with standard deviation $0.5 / \sqrt 2$ in both coordinates. The entropy is 2.83 nats. Training begins with
# `x = (x - x.mean(0)) / x.std(0)`, and the same two numbers are applied to the test points. On 20,000 fresh test points
# the flow reaches a mean negative log-likelihood of **1.434** nats, with a standard error of 0.01. How can that be?
#
# - **A**: A flexible flow can beat the entropy on new points, because it was fitted to many samples.
# - **B**: It has memorised its training points.
# - **C**: The number is the cost of other variables than the entropy's.
# - **D**: The test set is too small; with more points the mean would rise above the entropy.
#
# `t4_cause`: the letter. `t4_nll`: the flow's negative log-likelihood in nats per point of the original variables
# (within 0.005). Source: Murphy 23.1.

# %% tags=["t4_below_entropy"]
### BEGIN SOLUTION: t4_cause = ... (a letter), t4_nll = ... (a float)
radius, scale = 4 / math.sqrt(2), 0.5 / math.sqrt(2)
deviation = math.sqrt(radius**2 / 2 + scale**2)                  # of each coordinate
t4_cause = "C"
t4_nll = 1.434 + 2 * math.log(deviation)
### END SOLUTION

# %% tags=["check_t4_below_entropy"]
assert t4_cause in ("A", "B", "C", "D"), "one of the four letters"
assert isinstance(t4_nll, float), "give a number with a decimal point, or an expression that computes it"

# %% [markdown]
# ## E1 Densities in the plane (3 points, about 45 minutes)
#
# Now get close to the floor, with any flow of this notebook: two checkpoints, one for the **checkerboard** and one for
# the **eight Gaussians**. `SplineFlow` below is given; `CouplingFlow`, `MAFlow`, `CNF` or a class of your own will do,
# too, if it stands in a cell above that is not a training cell, if its constructor takes numbers, strings and lists,
# and if it has `log_prob` and `sample`. `log_prob` must give the same value each time it is called, in eval mode.
#
# **Your job.** Choose class, arguments and training so that each run takes at most 3 minutes on two cores. `train_2d`
# prints the loss beside the floor. When grading, both models are rebuilt; their density is integrated over the plane,
# so it must be one, and scored on new points: nats above the entropy floor.
#
# **Expected.** EXPECTED_E1

# %% tags=["setup"]
class SplineFlow(Flow):
    """Neural spline flow in the plane: spline couplings with masks (1, 0), (0, 1), (1, 0), ..."""

    def __init__(self, num_layers: int, hidden: int, num_bins: int, bound: float):
        masks = [[(i + 1) % 2, i % 2] for i in range(num_layers)]
        super().__init__([SplineCoupling(mask, hidden, num_bins, bound) for mask in masks], (2,))

# %% tags=["e1_density_2d"]
### BEGIN SOLUTION: e1_class, e1_config (its arguments), e1_training (steps, learning_rate, ... of train_2d)
e1_class = SplineFlow
e1_config = {"num_layers": by_preset(smoke=2, small=4, full=8), "hidden": by_preset(smoke=16, small=64, full=128),
             "num_bins": 16, "bound": 5.0}
e1_training = {"steps": by_preset(smoke=60, small=3000, full=20_000),
               "learning_rate": by_preset(smoke=2e-2, small=8e-3, full=2e-3)}
### END SOLUTION
seed_everything(SEED)
e1_models, e1_histories = {}, {}
for label, name in {"checkerboard": "e1_density_2d", "8 Gaussians": "e1_density_2d_gaussians"}.items():
    e1_models[label] = e1_class(**e1_config)
    e1_histories[label] = train_2d(e1_models[label], DENSITIES[label], seed=SEED, name=name, **e1_training)
    artifacts.save(name, e1_models[label], e1_config)
    print(f"{label}: {nats_above_floor(e1_models[label], DENSITIES[label]):.4f} nats above the floor "
          f"{DENSITIES[label].entropy:.4f}; {e1_histories[label].seconds:.0f} s")

# %% tags=["check_e1_density_2d"]
from common import artifacts
from common.data import checkerboard, eight_gaussians

side = torch.linspace(-6, 6, 121)
grid = torch.cartesian_prod(side, side)
for name, density in {"e1_density_2d": checkerboard(), "e1_density_2d_gaussians": eight_gaussians()}.items():
    saved = artifacts.load(name, globals())
    with torch.no_grad():
        mass = float(saved.log_prob(grid).exp().sum() * 0.1**2)
        cost = float(-saved.log_prob(density.sample(500, torch.Generator().manual_seed(0))).mean())
    assert 0.9 < mass < 1.1, f"{name}: the density integrates to {mass:.2f} over the plane"
    assert cost < density.entropy + 1, f"{name}: {cost:.2f} nats, more than 1 above the floor {density.entropy:.2f}"

# %% tags=["experiment"]
seed_everything(SEED)
e1_models["moons"] = e1_class(**e1_config)
train_2d(e1_models["moons"], DENSITIES["moons"], **e1_training)
print(f"moons: {nats_above_floor(e1_models['moons'], DENSITIES['moons']):.4f} nats above the floor")
for label, extent in {"checkerboard": 4.8, "8 Gaussians": 4.8, "moons": 2.4}.items():
    centre = 0.5 if label == "moons" else 0.0
    plot_density_2d({"truth": DENSITIES[label], "flow": e1_models[label]}, resolution=200,
                    extent=(centre - extent, centre + extent, centre / 2 - extent, centre / 2 + extent),
                    title=label, name=f"e1_{label.replace(' ', '_')}")

# %% [markdown]
# The same comparison at **equal compute**: each family gets the same number of seconds on the eight Gaussians. Three
# numbers: how close to the floor, how long 10,000 samples take, and how much of the model's mass lies between the
# modes, farther than five standard deviations from every one (the truth has 4 in a million there). Your report asks for
# this table over several seeds.
#
# **Expected.** EXPECTED_TABLE

# %% tags=["experiment"]
def train_for(model: nn.Module, density: Density, seconds: float, learning_rate: float, batch_size: int = 512,
              seed: int = SEED) -> History:
    """train_2d with as many steps as fit into so many seconds, judged by a few steps of a copy of the model."""
    trial = train_2d(copy.deepcopy(model), density, 10, learning_rate, batch_size, progress=False)
    steps = max(10, round(10 * seconds / trial.seconds))
    return train_2d(model, density, steps, learning_rate, batch_size, seed)


@torch.no_grad()
def share_between_modes(model: nn.Module, n: int = 10_000) -> float:
    """The share of samples more than five standard deviations away from each of the eight means."""
    eight = DENSITIES["8 Gaussians"]
    distance = torch.cdist(model.sample(n, generator(0)), eight.means.float()).amin(dim=1)
    return float((distance > 5 * eight.scale).double().mean())


families = {
    "coupling": (lambda: CouplingFlow(8, 64), 2e-3), "MAF": (lambda: MAFlow(6, 64), 2e-3),
    "spline": (lambda: SplineFlow(4, 64, 16, 5.0), 3e-3), "CNF": (lambda: CNF(2, 64, 6), 1e-2),
}
compared, rows = {}, []
for label, (build, rate) in families.items():
    seed_everything(SEED)
    compared[label] = build()
    history = train_for(compared[label], DENSITIES["8 Gaussians"], by_preset(smoke=0.5, small=25, full=300), rate)
    started = time.perf_counter()
    compared[label].sample(10_000, generator(0))
    rows.append((label, len(history.losses), nats_above_floor(compared[label], DENSITIES["8 Gaussians"], 10_000),
                 1000 * (time.perf_counter() - started), share_between_modes(compared[label])))
print("family     steps   nats above the floor   ms for 10,000 samples   share between modes")
for label, steps, above, ms, share in rows:
    print(f"{label:10} {steps:5} {above:14.3f} {ms:22.0f} {share:25.2%}")
logs = {"truth": DENSITIES["8 Gaussians"], **compared}
plot_density_2d({label: lambda x, m=m: m.log_prob(x).clamp(min=-12) / 6 for label, m in logs.items()},
                extent=(-4.5, 4.5, -4.5, 4.5), resolution=by_preset(smoke=40, small=120, full=200),
                title="Density to the power 1/6, so that filaments show",
                name="e1_filaments")

# %% [markdown]
# ## W2 Topology (3 points, about 20 minutes)
#
# The last picture shows bridges of density between modes that are separate in the truth. In about a third of a page:
# (a) Why can no continuous bijection carry a standard normal exactly onto eight Gaussians whose supports are, for all
# practical purposes, separate? (b) What does it cost to come close: what must happen to the slope (the Lipschitz
# constant) of the map or of its inverse? (c) Name two remedies, and say what each gives up.
#
# Source: Cornish 2020, arXiv:1909.13833, section 2; Papamakarios 2021, arXiv:1912.02762, section 5.

# %% [markdown] tags=["w2_topology"]
# ### BEGIN SOLUTION: a third of a page, with the argument about slopes
# **(a)** The plane is connected, and a continuous map keeps a connected set connected. So the image of the plane (and
# of a disc that holds all but a tiny part of the normal's mass) is one piece, while eight separate modes are eight
# pieces. Any path in the base from the preimage of one mode to that of another is mapped to a path through the gap, and
# since the base's density is positive everywhere, the model's density along it is, too. A flow can have eight modes,
# but not without bridges.
#
# **(b)** Let the gap be $g$ wide, and let a share $\epsilon$ of the mass lie in a bridge. The points of the base that
# land there form a strip of that mass, hence of a width of order $\epsilon$, and the map has to stretch this width over
# the length $g$: its slope is at least of order $g / \epsilon$. So bridges get thin only as the Lipschitz constant of
# the generating map $z \to x$ grows without bound; the inverse squeezes by the same factor, so round trips lose that
# many digits. Layers with bounded scales, such as $e^{3\tanh(\cdot)}$, need depth for it.
#
# **(c)** A mixture of flows, or a mixture as the base: the pieces are given, but their number has to be chosen, and
# likelihoods cost one pass per piece. Added dimensions or random layers (the plane is torn apart in a larger space):
# the exact likelihood becomes a bound. Rejecting samples in the bridges by a learned acceptance probability: a
# normalising constant has to be estimated, and samples cost more.
# ### END SOLUTION

# %% [markdown]
# # Part 5. Images
#
# ## Q5 From bytes to real numbers (6 points, about 40 minutes)
#
# Images hold discrete levels $x \in \{0, \dots, K-1\}$, and a density of discrete values is nonsense: it can be made as
# large as one likes on them. **Dequantization** adds uniform noise and scales, $y = (x + u) / K$ with $u \sim
# \mathrm{Uniform}[0, 1)$, so that $y$ fills $[0, 1)^D$. Then the flow's log-density of $y$ bounds the log-probability
# of the levels from below (W1 asks why).
#
# A flow wants the whole real line, while $y$ ends sharply at 0 and 1. RealNVP therefore models the **logit** of a
# slightly shrunken $y$:
#
# $$v = \mathrm{logit}\bigl(\alpha + (1 - 2\alpha)\, y\bigr), \qquad \mathrm{logit}(p) = \ln \frac{p}{1 - p}.$$
#
# Both the logit and the shrinking stretch space, and both belong into the log-determinant. At last the report. Bits per
# dimension count bins of width 1: with $\log p$ the log-density on $[0, 1)^D$ in nats,
#
# $$\text{bits/dim} = \frac{1}{\ln 2} \left( \ln K - \frac{\log p}{D} \right).$$
#
# A flow that knows nothing, uniform on $[0, 1)^D$, has $\log p = 0$ and pays exactly $\log_2 K$. Source: Dinh 2017,
# arXiv:1605.08803, section 4.1 (there with $1 - \alpha$ in place of $1 - 2\alpha$); Theis 2016, arXiv:1511.01844,
# section 3.1; Murphy 20.4; Tomczak 3.1.
#
# **Conventions.**
# - `dequantize` takes int64 levels of any shape and returns `torch.get_default_dtype()`, on the device of `x` (where
#   the generator must be, too), in $[0, 1)$. Mind rounding: in float32, $255 + u$ can become 256. Every value draws its
#   own $u$.
# - `logit_transform` and its inverse take `(B, ...)`, any number of further dimensions, and return `log_det` `(B,)`,
#   summed over those. `alpha` lies in $(0, 1/2)$. `inverse_logit_transform` returns the log-determinant of the inverse
#   map, finite for large $|v|$, too.
# - `bits_per_dim(log_prob, num_dims, num_levels)` takes a float or a tensor of any shape, and keeps it. `log_prob` is
#   the density on $[0, 1)^D$: whoever models $v$ adds the logit's log-determinant *before* calling it.

# %% tags=["q5_dequantize"]
def dequantize(x: Tensor, num_levels: int, generator: torch.Generator | None = None) -> Tensor:
    """(x + u) / num_levels with u ~ Uniform[0, 1) for each value. x: int64 in 0..num_levels-1, any shape.

    Returns the same shape in torch.get_default_dtype(), in [0, 1): 1 itself never occurs, not even by rounding.
    """
    ### BEGIN SOLUTION: add noise, scale
    u = torch.rand(x.shape, generator=generator, device=x.device)
    return ((x + u) / num_levels).clamp(max=1 - torch.finfo(u.dtype).eps)
    ### END SOLUTION


def logit_transform(x: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """y = logit(alpha + (1 - 2 alpha) x), from [0, 1] to the real line. Dinh 2017, section 4.1.

    x: (B, ...) in [0, 1]; alpha in (0, 1/2). Returns y of the same shape and log_det (B,) = log |det dy/dx|, summed
    over all dimensions of an example.
    """
    ### BEGIN SOLUTION: the logit and both of its factors' logs
    p = alpha + (1 - 2 * alpha) * x
    y = torch.log(p) - torch.log1p(-p)
    log_slope = math.log(1 - 2 * alpha) - torch.log(p) - torch.log1p(-p)
    return y, log_slope.reshape(len(x), -1).sum(dim=1)
    ### END SOLUTION


def inverse_logit_transform(y: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """x with logit_transform(x, alpha) = y. (B, ...) -> x of the same shape, log_det (B,) = log |det dx/dy|."""
    ### BEGIN SOLUTION: sigmoid, then undo the scaling
    x = (torch.sigmoid(y) - alpha) / (1 - 2 * alpha)
    log_slope = F.logsigmoid(y) + F.logsigmoid(-y) - math.log(1 - 2 * alpha)
    return x, log_slope.reshape(len(y), -1).sum(dim=1)
    ### END SOLUTION


def bits_per_dim(log_prob: float | Tensor, num_dims: int, num_levels: int) -> float | Tensor:
    """Bits per dimension of levels, from log_prob in nats of a density on [0, 1)^num_dims; keeps the shape."""
    ### BEGIN SOLUTION: back to bins of width 1, then nats to bits, shared among dimensions
    return (math.log(num_levels) - log_prob / num_dims) / math.log(2)
    ### END SOLUTION

# %% tags=["check_q5_dequantize"]
levels = torch.arange(16).repeat(2, 50, 1)
y = dequantize(levels, 16, torch.Generator().manual_seed(0))
assert y.shape == levels.shape and y.is_floating_point(), "dequantize keeps the shape and returns floats"
assert ((y * 16).floor() == levels).all() and y.max() < 1, "level k fills [k/K, (k+1)/K)"
assert y[0, :, 3].unique().numel() > 40, "every value draws its own noise"
y = torch.tensor([[0.0, 0.25], [0.5, 1.0]], dtype=torch.float64)
v, log_det = logit_transform(y, alpha=0.05)
assert v.shape == (2, 2) and log_det.shape == (2,), "log_det is summed over the dimensions of an example"
assert torch.isclose(v[1, 0], torch.zeros((), dtype=torch.float64)), "the logit of 1/2 is 0"
slopes = (logit_transform(y + 1e-6, 0.05)[0] - logit_transform(y - 1e-6, 0.05)[0]) / 2e-6
assert torch.allclose(slopes.log().sum(1), log_det, atol=1e-5), "log_det: logit and shrinking both stretch space"
back, log_det_back = inverse_logit_transform(v, alpha=0.05)
assert torch.allclose(back, y) and torch.allclose(log_det_back, -log_det), "the inverse must undo the transform"
assert math.isclose(bits_per_dim(0.0, num_dims=7, num_levels=16), 4.0), "the uniform density costs log2 K bits/dim"

# %% [markdown]
# Fashion-MNIST, shrunk to 8 x 8 pixels and 17 levels: the format of the handwritten digits that we will hold against it
# later. Above the levels of all pixels; below what dequantization and logit make of them. (The spikes at the ends are
# the many pixels that are black.)

# %% tags=["experiment"]
NUM_LEVELS, ALPHA = 17, 0.05


def shrink(images: Tensor) -> Tensor:
    """(N, 1, 28, 28) uint8 -> levels (N, 1, 8, 8) int64 in 0..16: two black pixels around, then means of 4x4 blocks."""
    blocks = F.avg_pool2d(F.pad(images.float(), (2, 2, 2, 2)), 4)
    return to_levels(blocks.round().to(torch.uint8), NUM_LEVELS)


fashion_train, fashion_test = (shrink(fashion_mnist(split).images) for split in ("train", "test"))
digits_levels = to_levels(digits("train").images, NUM_LEVELS)
show_images(torch.cat([fashion_train[:16], digits_levels[:16]]), columns=16, num_levels=NUM_LEVELS,
            title="Fashion-MNIST and digits, 8 x 8, 17 levels", name="q5_images")
y = dequantize(fashion_train, NUM_LEVELS, generator(0))
v = logit_transform(y, ALPHA)[0]
for label, values, low, high in (("dequantized y", y, 0, 1), ("logit v", v, -3, 3)):
    bins = torch.histc(values.float(), 68, low, high) / values.numel() * 68 / (high - low)
    plot_lines(low + (torch.arange(68) + 0.5) / 68 * (high - low), {"pixels": bins}, xlabel=label, ylabel="density",
               title=f"All pixels: {label}", name=f"q5_{label.split()[1]}")

# %% [markdown]
# ## W1 Dequantization (4 points, about 30 minutes)
#
# In about half a page: (a) Suppose a flow is trained on the bare levels, without noise. Show that its log-likelihood
# has no upper bound, by naming densities that reach any value. (b) With $P(x) = \int_{[0,1)^D} p(x + u)\, du$, the
# probability that the density $p$ gives to the bin of $x$, prove that training on $x + u$ maximises a lower bound of
# $\log P(x)$. (c) When is the bound tight, and what does variational dequantization change? (d) A flow with 2.0
# bits/dim and a PixelCNN with 1.95 on the same images and levels: what may be concluded?
#
# Source: Theis 2016, arXiv:1511.01844, section 3.1; Ho 2019, arXiv:1902.00275, section 3.1; Murphy 20.4.

# %% [markdown] tags=["w1_dequantization"]
# ### BEGIN SOLUTION: half a page, with the proof of the bound
# **(a)** Let the training images be $x_1, \dots, x_N$. The mixture $\frac1N \sum_n \mathcal N(x; x_n, \sigma^2 I)$ has
# at each of them a density of at least $\frac1N (2\pi\sigma^2)^{-D/2}$. As $\sigma \to 0$ this grows beyond any value,
# and its logarithm like $-D \ln\sigma$. Because levels are isolated points, the same works for levels never seen in
# training: a bump on every one of the $K^D$ images. One pixel that is always black is enough: a flow sends its scale to
# infinity.
#
# **(b)** $u$ is uniform on the unit cube, so $P(x) = \mathbb E_u[p(x + u)]$, and the logarithm is concave. By Jensen
# $\log P(x) = \log \mathbb E_u[p(x+u)] \ge \mathbb E_u[\log p(x + u)]$ for every $x$; taking the mean over the data
# keeps the inequality. The right side is what training on $x + u$ maximises. The left side is at most 0 for each $x$,
# so the objective is bounded, and bumps no longer pay: in a bin of width 1 nothing is gained by being narrow.
#
# **(c)** Equality holds exactly when $p(x + u)$ is the same for almost all $u$ in the bin. In general the gap is
# $\mathrm{KL}(\mathrm{Uniform} \,\|\, p(u \mid x))$ with $p(u \mid x) = p(x + u) / P(x)$: a smooth flow with slopes
# across a bin pays for them. Variational dequantization draws $u$ from a learned $q(u \mid x)$ and maximises $\mathbb
# E_q[\log p(x + u) - \log q(u \mid x)]$, with gap $\mathrm{KL}(q \,\|\, p(u \mid x))$: the noise adapts to the flow.
#
# **(d)** 1.95 is what the PixelCNN's distribution costs; 2.0 is an upper bound of what the flow's costs. So the flow's
# distribution over images may be worse, as good, or better. An estimate of $P(x)$ with many $u$ per image (importance
# sampling), or learned noise, would narrow the bound; and both numbers need their spread over seeds.
# ### END SOLUTION

# %% [markdown]
# ## Q6 A flow for images (11 points, about 90 minutes)
#
# Images need convolutions, which keep their 2-D shape, and they need many layers, which makes it costly to carry all
# dimensions through all of them. The multi-scale architecture of RealNVP, with the layers of Glow:
#
# - **squeeze** trades space for channels: each 2 x 2 patch becomes four channels at one position.
# - **ActNorm** scales and shifts each channel. It starts by looking at one batch, so that the next layer sees numbers
#   with mean 0 and variance 1 (instead of a batch normalisation, whose output depends on the rest of the batch).
# - **Invertible 1 x 1 convolution**: a learned $C \times C$ matrix mixes channels at every pixel, where coupling layers
#   would otherwise need a fixed permutation. Its log-determinant is $H\, W \log|\det \mathbf W|$: the same matrix acts
#   at each of $H\, W$ pixels.
# - **Coupling** with masks: in channels, or in a checkerboard of pixels.
# - After each scale **half of the channels leave**: they are final latents. The rest is squeezed again. The last scale
#   keeps all it has. So coarse structure passes more layers than fine detail.
#
# Source: Dinh 2017, arXiv:1605.08803, sections 3.4 to 3.6; Kingma 2018, arXiv:1807.03039, section 3 and figure 2;
# Murphy 23.2.
#
# **Conventions.**
# - `squeeze` `(B, C, H, W) -> (B, 4C, H/2, W/2)`: position $(i, j)$ of the result holds exactly the $4C$ values of the
#   2 x 2 patch at rows $2i, 2i+1$ and columns $2j, 2j+1$, in any fixed order of channels. `unsqueeze` is its inverse.
#   Odd `H` or `W`, or channels that 4 does not divide, raise `ValueError`. (A bare `view` mixes distant pixels.)
# - `checkerboard_mask(height, width, parity)`: entry (row, col) is (row + col + parity) mod 2, as floats.
# - `ActNorm` sets scale and shift at the **first forward pass in training mode**, from that batch and all its pixels:
#   the output of that very pass has mean 0 and variance 1 in each channel. Later passes, and all passes in eval mode,
#   never set anything; a fresh layer in eval mode is the identity. That it has started is part of the saved state.
#   `inverse` never starts it. Scale and shift are trainable parameters. A channel that is constant in the first batch
#   must not divide by zero.
# - `InvertibleConv1x1` is right for matrices with negative or tiny determinants, too. Parametrise the matrix as you
#   like (dense, LU, ...).
# - `MultiscaleFlow(image_shape, hidden, num_steps, num_scales=2)`: `forward` returns a *list* of `num_scales` latents,
#   finest first, and `log_det`. For an image $(C, H, W)$ latent number $i = 0, 1, \dots$ has shape $(2^{i+1} C,\ H /
#   2^{i+1},\ W / 2^{i+1})$; the last one, which does not split, has twice these channels. `inverse` takes such a list.
#   All latents are standard normal and each counts once: $\log p(x) = \sum_i \log \mathcal N(z_i; 0, I) +
#   \text{log\_det}$. `H` and `W` that $2^{\text{num\_scales}}$ does not divide raise `ValueError`.
# - What happens between squeezes is yours, with at least `num_steps` steps of ActNorm, 1 x 1 convolution and coupling
#   per scale. `ImageCoupling` is a suggestion: the checks don't build it. A prior of the leaving half that is
#   conditioned on the staying half is welcome, as a shift and scale *before* the latent is returned, with its part of
#   `log_det`.

# %% tags=["q6_multiscale"]
def squeeze(x: Tensor) -> Tensor:
    """Turn each 2x2 patch into channels: (B, C, H, W) -> (B, 4C, H/2, W/2). Raises ValueError for odd H or W."""
    ### BEGIN SOLUTION: split rows and columns in two, move the halves to the channels
    batch, channels, height, width = x.shape
    if height % 2 or width % 2:
        raise ValueError(f"can't squeeze an image of {height}x{width}: both must be even")
    x = x.view(batch, channels, height // 2, 2, width // 2, 2).permute(0, 1, 3, 5, 2, 4)
    return x.reshape(batch, 4 * channels, height // 2, width // 2)
    ### END SOLUTION


def unsqueeze(z: Tensor) -> Tensor:
    """The inverse of squeeze: (B, 4C, H, W) -> (B, C, 2H, 2W). Raises ValueError unless 4 divides the channels."""
    ### BEGIN SOLUTION: the same moves backwards
    batch, channels, height, width = z.shape
    if channels % 4:
        raise ValueError(f"can't unsqueeze {channels} channels: 4 must divide them")
    z = z.view(batch, channels // 4, 2, 2, height, width).permute(0, 1, 4, 2, 5, 3)
    return z.reshape(batch, channels // 4, 2 * height, 2 * width)
    ### END SOLUTION


def checkerboard_mask(height: int, width: int, parity: int) -> Tensor:
    """(height, width) of 0 and 1 in the default float dtype: entry (row, col) is (row + col + parity) mod 2."""
    ### BEGIN SOLUTION: rows plus columns
    row, col = torch.arange(height)[:, None], torch.arange(width)[None, :]
    return ((row + col + parity) % 2).to(torch.get_default_dtype())
    ### END SOLUTION


class ActNorm(nn.Module):
    """Scale and shift per channel, started so that the first batch leaves with mean 0 and variance 1. Glow, 3.1.

    The first forward pass in training mode sets scale and shift from its batch (variance divided by the number of
    values, over batch, rows and columns); from then on both are ordinary parameters. In eval mode nothing is ever set:
    a fresh layer is the identity. That the start has happened is stored in the state dict.
    """

    def __init__(self, num_channels: int):
        super().__init__()
        ### BEGIN SOLUTION: scale, shift, and a buffer that remembers
        self.log_scale = nn.Parameter(torch.zeros(num_channels))
        self.shift = nn.Parameter(torch.zeros(num_channels))
        self.register_buffer("started", torch.tensor(False))
        ### END SOLUTION

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, H, W) -> z of the same shape, log_det (B,)."""
        ### BEGIN SOLUTION: start if need be, then scale and shift
        if self.training and not self.started:
            self._start(x)
        z = (x - self.shift[:, None, None]) * self.log_scale.exp()[:, None, None]
        return z, self._log_det(x)
        ### END SOLUTION

    def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, H, W) -> x of the same shape, log_det (B,) of the inverse map."""
        ### BEGIN SOLUTION: undo both
        x = z * torch.exp(-self.log_scale)[:, None, None] + self.shift[:, None, None]
        return x, -self._log_det(z)

    @torch.no_grad()
    def _start(self, x: Tensor) -> None:
        self.shift.copy_(x.mean(dim=(0, 2, 3)))
        self.log_scale.copy_(-torch.log(x.std(dim=(0, 2, 3), correction=0).clamp(min=1e-6)))
        self.started.fill_(True)

    def _log_det(self, x: Tensor) -> Tensor:
        """Every pixel of a channel is scaled: H W times the sum over channels, the same for all examples."""
        return (x.shape[2] * x.shape[3] * self.log_scale.sum()).expand(len(x))
        ### END SOLUTION


class InvertibleConv1x1(nn.Module):
    """One invertible C x C matrix applied to the channels of every pixel, at first a random rotation. Glow, 3.2."""

    def __init__(self, num_channels: int):
        super().__init__()
        ### BEGIN SOLUTION: a random orthogonal matrix
        self.weight = nn.Parameter(torch.linalg.qr(torch.randn(num_channels, num_channels))[0])
        ### END SOLUTION

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, H, W) -> z of the same shape, log_det (B,)."""
        ### BEGIN SOLUTION: the same matrix at every pixel
        return torch.einsum("ij,bjhw->bihw", self.weight, x), self._log_det(x)
        ### END SOLUTION

    def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, H, W) -> x of the same shape, log_det (B,) of the inverse map."""
        ### BEGIN SOLUTION: the inverse matrix at every pixel
        return torch.einsum("ij,bjhw->bihw", torch.linalg.inv(self.weight), z), -self._log_det(z)

    def _log_det(self, x: Tensor) -> Tensor:
        """slogdet gives log |det|, also of a negative or a very small determinant."""
        return (x.shape[2] * x.shape[3] * torch.linalg.slogdet(self.weight).logabsdet).expand(len(x))
        ### END SOLUTION


class ImageCoupling(nn.Module):
    """Affine coupling for images: s and t come from a small convolutional network that sees mask * x.

    mask: (C, H, W) or a shape that broadcasts to it, 1 passes and conditions, 0 is transformed.
    """

    def __init__(self, mask: Tensor, num_channels: int, hidden: int):
        super().__init__()
        self.register_buffer("mask", mask, persistent=False)         # fixed by the constructor: no need to save it
        ### BEGIN SOLUTION: as Q2, with convolutions
        self.net = nn.Sequential(
            nn.Conv2d(num_channels, hidden, 3, padding=1), nn.ReLU(), nn.Conv2d(hidden, hidden, 1), nn.ReLU(),
            nn.Conv2d(hidden, 2 * num_channels, 3, padding=1),
        )
        nn.init.zeros_(self.net[-1].weight)
        nn.init.zeros_(self.net[-1].bias)
        ### END SOLUTION

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, H, W) -> z of the same shape, log_det (B,)."""
        ### BEGIN SOLUTION: scale and shift
        s, t = self._scale_and_shift(x)
        return x * s.exp() + t, s.sum(dim=(1, 2, 3))
        ### END SOLUTION

    def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, H, W) -> x of the same shape, log_det (B,) of the inverse map."""
        ### BEGIN SOLUTION: undo both
        s, t = self._scale_and_shift(z)
        return (z - t) * torch.exp(-s), -s.sum(dim=(1, 2, 3))

    def _scale_and_shift(self, x: Tensor) -> tuple[Tensor, Tensor]:
        s, t = self.net(x * self.mask).chunk(2, dim=1)
        return (1 - self.mask) * 2 * torch.tanh(s / 2), (1 - self.mask) * t
        ### END SOLUTION


class MultiscaleFlow(nn.Module):
    """Squeeze, some steps of flow, half of the channels leave; again at half the size. RealNVP 3.6, Glow figure 2b.

    image_shape: (C, H, W), H and W divisible by 2^num_scales (else ValueError). hidden: channels inside the couplings.
    num_steps: ActNorm, 1x1 convolution and coupling so often at each scale. Latents: one tensor per scale, finest
    first, in all as many numbers as the image; their base is the standard normal:
    log p(x) = sum over latents of log N(latent; 0, I) + log_det. x is real-valued (after logit_transform).
    """

    def __init__(self, image_shape: Sequence[int], hidden: int, num_steps: int, num_scales: int = 2):
        super().__init__()
        self.image_shape = tuple(image_shape)
        ### BEGIN SOLUTION: the layers of each scale, before and after squeezing
        channels, height, width = self.image_shape
        if height % 2**num_scales or width % 2**num_scales:
            raise ValueError(f"an image of {height}x{width} can't be squeezed {num_scales} times")
        self.pixel_layers, self.channel_layers, self.latent_shapes = nn.ModuleList(), nn.ModuleList(), []
        for scale in range(num_scales):
            boards = [checkerboard_mask(height, width, parity)[None] for parity in (0, 1)]
            self.pixel_layers.append(
                nn.ModuleList(ImageCoupling(board, channels, hidden) for board in boards)
            )
            channels, height, width = 4 * channels, height // 2, width // 2
            half = (torch.arange(channels) < channels // 2).to(boards[0])[:, None, None]         # (C, 1, 1)
            self.channel_layers.append(
                nn.ModuleList(
                    layer
                    for _ in range(num_steps)
                    for layer in (
                        ActNorm(channels), InvertibleConv1x1(channels), ImageCoupling(half, channels, hidden)
                    )
                )
            )
            if scale < num_scales - 1:
                channels //= 2
            self.latent_shapes.append((channels, height, width))
        ### END SOLUTION

    def forward(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """(B, C, H, W) -> latents, finest first, and log_det (B,) of the whole map."""
        ### BEGIN SOLUTION: after every scale but the last, half of the channels are done
        latents, log_det = [], x.new_zeros(len(x))
        for scale, (pixel_layers, channel_layers) in enumerate(zip(self.pixel_layers, self.channel_layers)):
            for layer in pixel_layers:
                x, part = layer(x)
                log_det = log_det + part
            x = squeeze(x)
            for layer in channel_layers:
                x, part = layer(x)
                log_det = log_det + part
            if scale < len(self.latent_shapes) - 1:
                x, done = x.chunk(2, dim=1)
                latents.append(done)
        return [*latents, x], log_det
        ### END SOLUTION

    def inverse(self, latents: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Latents as forward returns them -> x (B, C, H, W), log_det (B,) of the inverse map."""
        ### BEGIN SOLUTION: everything in the opposite order
        *latents, x = latents
        log_det = x.new_zeros(len(x))
        for scale in reversed(range(len(self.latent_shapes))):
            if scale < len(latents):
                x = torch.cat([x, latents[scale]], dim=1)
            for layer in reversed(self.channel_layers[scale]):
                x, part = layer.inverse(x)
                log_det = log_det + part
            x = unsqueeze(x)
            for layer in reversed(self.pixel_layers[scale]):
                x, part = layer.inverse(x)
                log_det = log_det + part
        return x, log_det
        ### END SOLUTION

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) in nats, summed over all dimensions. (B, C, H, W) -> (B,)."""
        ### BEGIN SOLUTION: every latent counts once
        latents, log_det = self.forward(x)
        return sum(standard_normal_log_prob(z) for z in latents) + log_det
        ### END SOLUTION

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator | None = None, temperature: float = 1.0) -> Tensor:
        """Draw n images; latents are drawn from N(0, temperature^2 I). Returns (n, C, H, W)."""
        ### BEGIN SOLUTION: draw latents of every scale, invert
        like = next(self.parameters())
        latents = [
            temperature * torch.randn(n, *shape, generator=generator, device=like.device, dtype=like.dtype)
            for shape in self.latent_shapes
        ]
        return self.inverse(latents)[0]
        ### END SOLUTION

# %% tags=["check_q6_multiscale"]
image = torch.arange(2 * 3 * 4 * 6, dtype=torch.float64).view(2, 3, 4, 6)
squeezed = squeeze(image)
assert squeezed.shape == (2, 12, 2, 3), "squeeze: (B, C, H, W) -> (B, 4C, H/2, W/2)"
assert set(squeezed[0, :, 1, 2].tolist()) == set(image[0, :, 2:4, 4:6].flatten().tolist()), "a position holds its patch"
assert torch.equal(unsqueeze(squeezed), image), "unsqueeze undoes squeeze"
assert checkerboard_mask(2, 3, parity=1).tolist() == [[1, 0, 1], [0, 1, 0]], "(row + col + parity) mod 2"
draw = torch.Generator().manual_seed(0)
x = 3 + 5 * torch.randn(20, 2, 2, 3, generator=draw, dtype=torch.float64)
norm = ActNorm(2).double()
z, log_det = norm(x)
assert torch.allclose(z.mean((0, 2, 3)), torch.zeros(2).double(), atol=1e-6), "the first batch leaves with mean 0"
assert torch.allclose(z.std((0, 2, 3), correction=0), torch.ones(2).double(), atol=1e-4), "... and variance 1"
assert torch.allclose(norm(2 * x)[0].std((0, 2, 3)), 2 * z.std((0, 2, 3))), "later batches don't set the scale again"
conv = InvertibleConv1x1(2).double()
for layer in (norm, with_random_parameters(conv)):
    z, log_det = layer(x)
    jacobian = torch.autograd.functional.jacobian(lambda x, layer=layer: layer(x)[0], x[:1]).view(12, 12)
    name = type(layer).__name__
    assert log_det.shape == (20,), f"{name}: log_det is (B,)"
    assert torch.isclose(torch.linalg.slogdet(jacobian).logabsdet, log_det[0]), f"{name}: log_det counts every pixel"
    assert torch.allclose(layer.inverse(z)[0], x), f"{name}: inverse must undo forward"
flow = MultiscaleFlow((1, 4, 8), hidden=4, num_steps=1).double().eval()
x = torch.randn(3, 1, 4, 8, generator=draw, dtype=torch.float64)
latents, log_det = flow(x)
assert [tuple(z.shape) for z in latents] == [(3, 2, 2, 4), (3, 8, 1, 2)], "half leaves after the first scale"
assert torch.allclose(flow.inverse(latents)[0], x), "inverse must undo forward"
total = sum(map(standard_normal_log_prob, latents)) + log_det
assert torch.allclose(flow.log_prob(x), total), "each latent counts once"
assert flow.sample(2, torch.Generator().manual_seed(0)).shape == (2, 1, 4, 8), "sample returns (n, C, H, W)"

# %% [markdown]
# What the layers do to an image. The masks of the two checkerboards; one image, squeezed into four channels; and these
# channels after a random rotation of the colours, which is where the 1 x 1 convolution starts.

# %% tags=["experiment"]
show_mask({f"parity {parity}": checkerboard_mask(8, 8, parity).bool() for parity in (0, 1)}, unit="",
          title="Checkerboards: blue passes and conditions", name="q6_checkerboards")
picture = from_levels(fashion_test[4:5], NUM_LEVELS)
channels = squeeze(picture)
with torch.no_grad():
    started = ActNorm(4)(channels)[0]
    mixed = InvertibleConv1x1(4)(started)[0]
panels = torch.cat([channels[0], started[0] / 6 + 0.5, mixed[0] / 6 + 0.5])[:, None]
show_images(panels, columns=4, row_labels=["squeezed", "after ActNorm", "after 1x1 conv"],
            column_labels=range(4), title="One image as four channels", name="q6_layers")

# %% [markdown]
# ## E2 A flow for images (3 points, about 45 minutes)
#
# Train `MultiscaleFlow` on the 10,000 small images of Fashion-MNIST: 8 x 8 pixels, 17 levels. In each step the levels
# are dequantized anew, sent through the logit, and scored. For two points of reference: a uniform guess costs $\log_2
# 17 = 4.09$ bits/dim, and a histogram of every pixel by itself about EXPECTED_HIST.
#
# **Your job.** Write the loss, in bits per dimension. Choose size and training so that the run takes at most 3 minutes
# on two cores. `NUM_LEVELS` and `ALPHA` stay as they are: when grading, the model is rebuilt with `ALPHA = 0.05`, and
# scored on other images of the same kind.
#
# **Expected.** EXPECTED_E2

# %% tags=["e2_image_flow"]
def e2_loss(model: nn.Module, x: Tensor) -> Tensor:
    """Mean cost of a batch in bits per dimension, with fresh noise. x: (B, 1, 8, 8) int64. Returns a scalar."""
    ### BEGIN SOLUTION: dequantize, logit, log-density on [0, 1), bits per dimension
    v, log_det = logit_transform(dequantize(x, NUM_LEVELS), ALPHA)
    return bits_per_dim(model.log_prob(v) + log_det, x[0].numel(), NUM_LEVELS).mean()
    ### END SOLUTION


### BEGIN SOLUTION: e2_config (arguments of MultiscaleFlow), e2_training (steps, batch_size, learning_rate, ... of fit)
e2_size = by_preset(smoke={"hidden": 8, "num_steps": 1}, small={"hidden": 32, "num_steps": 4},
                    full={"hidden": 128, "num_steps": 16})
e2_config = {"image_shape": (1, 8, 8), "num_scales": 2, **e2_size}
e2_training = by_preset(
    smoke={"steps": 20, "batch_size": 32, "learning_rate": 2e-3},
    small={"steps": 1500, "batch_size": 64, "learning_rate": 2e-3, "warmup": 50, "ema": 0.99},
    full={"steps": 30_000, "batch_size": 128, "learning_rate": 1e-3, "warmup": 500, "ema": 0.999},
)
### END SOLUTION


def e2_validate(model: nn.Module) -> Tensor:
    """Mean loss over the last 500 training images, which the model does not learn from."""
    return e2_loss(model, fashion_train[9500:].to(DEVICE))


seed_everything(SEED)
e2_model = MultiscaleFlow(**e2_config)
e2_history = fit(e2_model, e2_loss, fashion_train[:9500], seed=SEED, name="e2_image_flow", validate=e2_validate,
                 validate_every=max(1, e2_training["steps"] // 5), precision="float32", **e2_training)
artifacts.save("e2_image_flow", e2_model, e2_config)
print(e2_history)

# %% tags=["check_e2_image_flow"]
from common import artifacts
from common.data import fashion_mnist, to_levels

saved = artifacts.load("e2_image_flow", [MultiscaleFlow])
blocks = F.avg_pool2d(F.pad(fashion_mnist("test").images[:100].float(), (2, 2, 2, 2)), 4).round().to(torch.uint8)
v, log_det = logit_transform(dequantize(to_levels(blocks, 17), 17, torch.Generator().manual_seed(0)), 0.05)
with torch.no_grad():
    cost = bits_per_dim(saved.log_prob(v) + log_det, 64, 17)
    latents, _ = saved(v)
    back, _ = saved.inverse(latents)
assert cost.shape == (100,), "log_prob is one number per image"
assert torch.allclose(back, v, atol=1e-2), "inverse must undo forward"
assert cost.mean() < math.log2(17), f"{cost.mean():.2f} bits/dim: a uniform guess costs {math.log2(17):.2f}"

# %% tags=["experiment"]
e2_model.cpu()


@torch.no_grad()
def image_bits(levels: Tensor, seed: int = 0) -> Tensor:
    """Cost in bits per dimension of each image, with one draw of noise. (N, 1, 8, 8) int64 -> (N,)."""
    v, log_det = logit_transform(dequantize(levels, NUM_LEVELS, generator(seed)), ALPHA)
    return bits_per_dim(e2_model.log_prob(v) + log_det, 64, NUM_LEVELS)


shares = F.one_hot(fashion_train[:9500], NUM_LEVELS).double().mean(0).clamp(min=1e-4)            # (1, 8, 8, 17)
independent = float(-shares.log2()[None].expand(2000, -1, -1, -1, -1).gather(4, fashion_test[..., None]).mean())
test_bits = image_bits(fashion_test)
print(f"test {test_bits.mean():.3f} bits/dim (standard error {test_bits.std() / len(test_bits) ** 0.5:.3f}), "
      f"training {image_bits(fashion_train[:2000]).mean():.3f}; independent pixels {independent:.3f}, "
      f"uniform {math.log2(NUM_LEVELS):.3f}; {e2_history.seconds:.0f} s of training")
plot_losses(e2_history, floor={"independent pixels": independent}, ylabel="bits/dim", title="Multi-scale flow, 8 x 8",
            name="e2_losses")


def to_images(v: Tensor) -> Tensor:
    """Logits to grey values in [0, 1]."""
    return inverse_logit_transform(v, ALPHA)[0].clamp(0, 1)


temperatures = (0.5, 0.7, 1.0)
drawn = [to_images(e2_model.sample(16, generator(0), temperature=t)) for t in temperatures]
show_images(torch.cat([from_levels(fashion_test[:16], NUM_LEVELS), *drawn]), columns=16, name="e2_samples",
            row_labels=["test images", *(f"T = {t}" for t in temperatures)], title="Samples at several temperatures")

# %% [markdown]
# What the two latents know. The first image of each row is a test image; the others keep its *coarse* latent and draw
# the fine one anew. What changes is what the model calls detail.

# %% tags=["experiment"]
with torch.no_grad():
    rows = []
    for i in range(4):
        image = fashion_test[i : i + 1]
        fine, coarse = e2_model(logit_transform(dequantize(image, NUM_LEVELS, generator(i)), ALPHA)[0])[0]
        redrawn = 0.7 * torch.randn(11, *fine.shape[1:], generator=generator(i))
        alike = e2_model.inverse([redrawn, coarse.expand(11, -1, -1, -1)])[0]
        rows += [from_levels(image, NUM_LEVELS), to_images(alike)]
show_images(torch.cat(rows), columns=12, title="The coarse latent kept, the fine one drawn anew", name="e2_latents")

# %% [markdown]
# Now images of another world: the same flow, never trained on anything but clothes, scores handwritten digits, as they
# are and with an eighth of their contrast (levels 0, 1 and 2 only). Were likelihood a measure of "looks like the
# training data", both would lie to the right of all clothes.
#
# **Expected.** EXPECTED_OOD

# %% tags=["experiment"]
costs = {"clothes (test)": test_bits, "digits": image_bits(digits_levels),
         "faint digits": image_bits(digits_levels // 8)}
for label, values in costs.items():
    wins = float((values[:, None] < test_bits[None]).double().mean())
    print(f"{label:15} {values.mean():6.2f} bits/dim; more likely than a random test image with probability {wins:.3f}")
black = image_bits(torch.zeros(20, 1, 8, 8, dtype=torch.long)).mean()
share = float((test_bits > black).double().mean())
print(f"an all-black image costs {black:.2f} bits/dim, less than {share:.1%} of the test images")
edges = torch.linspace(0, 10, 61)
density = {label: torch.histc(values, 60, 0, 10) / len(values) * 6 for label, values in costs.items()}
plot_lines((edges[1:] + edges[:-1]) / 2, density, xlabel="bits/dim under a flow that was trained on clothes",
           ylabel="density", title="Images that the flow has never seen", name="e2_out_of_distribution")

# %% [markdown]
# ## W3 Out of distribution (3 points, about 20 minutes)
#
# Full-size flows trained on Fashion-MNIST find MNIST *more* likely than Fashion-MNIST itself, and flows trained on
# CIFAR-10 find SVHN more likely than CIFAR-10. In about a third of a page: (a) How can a good density model do this?
# Where does the mass of a distribution in many dimensions lie, and what makes an image likely? (b) What do your three
# histograms and the black image show, in numbers, and how does it fit the published finding, although your digits as
# they are fall on the other side? (c) Name one test that would detect faint digits, and say why it works where the
# likelihood alone does not.
#
# Source: Nalisnick 2019, arXiv:1810.09136, sections 3 to 5; Murphy 19.3.

# %% [markdown] tags=["w3_out_of_distribution"]
# ### BEGIN SOLUTION: a third of a page
# KEY_W3
# ### END SOLUTION

# %% [markdown]
# # Part 6. Report
#
# ## Report (10 points, about 2 hours)
#
# Two pages in the cell below, with figures from `figures/` and numbers that you measured. It must hold the
# **comparison** of coupling, MAF, spline and continuous flows at equal compute (nats above the floor, time for samples,
# share of mass between the modes), and the **bad-mask ablation**: a stack of couplings that all have the same mask,
# against one with alternating masks; what can it still learn, what not, and what does its picture show? Marks: claims
# tied to figures or numbers (3), uncertainty over at least 3 seeds for one number (2), one failure met and diagnosed
# (2), a comparison with a floor or baseline and with a published value, naming the differences in protocol (2), a
# statement of compute and reproducibility (1).

# %% [markdown] tags=["r_report"]
# ## Report
#
# ### 1. What was trained
# ### BEGIN SOLUTION: densities, models, sizes, training time
# ### END SOLUTION
#
# ### 2. Four families at equal compute, with mean and spread over at least 3 seeds
# ### BEGIN SOLUTION: table and figure; what it shows and what it does not
# ### END SOLUTION
#
# ### 3. Ablation: every coupling with the same mask
# ### BEGIN SOLUTION: nats above the floor, figure, the reason
# ### END SOLUTION
#
# ### 4. The image flow
# ### BEGIN SOLUTION: bits/dim beside baselines, samples, out-of-distribution histogram
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
