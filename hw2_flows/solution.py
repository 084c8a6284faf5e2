# %% [markdown]
# # HW2 Normalizing flows

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

# %% [markdown]
# ## T2 Densities of transformed variables (2 points)

# %% tags=["t2_pushforward"]
### BEGIN SOLUTION: t2_log_normal = ..., t2_gumbel = ..., t2_square = ... (floats, log-densities in nats)
def log_normal_density(z: float) -> float:
    return -0.5 * z**2 - 0.5 * math.log(2 * math.pi)


x, y, w = 5.0, 0.8, 1.7
t2_log_normal = log_normal_density((math.log(x) - 1.2) / 0.6) - math.log(0.6 * x)      # z = (ln x - 1.2) / 0.6
t2_gumbel = -y - math.exp(-y)                                                          # u = exp(-exp(-y)), du/dy
t2_square = math.log(2) + log_normal_density(math.sqrt(w)) - math.log(2 * math.sqrt(w))  # both roots count
### END SOLUTION

# %% [markdown]
# ## Q1 A mixture's CDF (8 points)

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

# %% [markdown]
# ## T1 A change of units (1 point)

# %% tags=["t1_units"]
### BEGIN SOLUTION: t1_log_density = ..., t1_bits_per_dim = ... (floats)
num_dims = 3 * 16 * 16
t1_log_density = 411.8 - num_dims * math.log(255 / 2)
t1_bits_per_dim = -t1_log_density / (num_dims * math.log(2))
### END SOLUTION

# %% [markdown]
# ## Q2 Affine coupling (11 points)

# %% tags=["q2_affine_coupling"]
class AffineCoupling(nn.Module):
    """Half of the dimensions pass and decide how the others are scaled and shifted. Dinh 2017, equations 7 and 8.

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
            nn.Linear(num_dims, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 2 * num_dims)
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
        ### END SOLUTION

    ### BEGIN SOLUTION: any methods of your own
    def _scale_and_shift(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """s in (-3, 3) and t, each (B, D), from the conditioning dimensions alone; both 0 where the mask is 1."""
        s, t = self.net(x * self.mask).chunk(2, dim=1)
        return (1 - self.mask) * 3 * torch.tanh(s / 3), (1 - self.mask) * t
    ### END SOLUTION

# %% [markdown]
# ## Q3 A stack of layers (6 points)

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

# %% [markdown]
# ## Q4 Masked autoregressive flow (10 points)

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
        ### END SOLUTION

    ### BEGIN SOLUTION: any methods of your own
    def _shift_and_log_scale(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """mu and a, each (B, D); a is kept within (-5, 5), so that no scale overflows."""
        mu, a = self.net(x).chunk(2, dim=1)
        return mu, 5 * torch.tanh(a / 5)
    ### END SOLUTION

# %% [markdown]
# ## Q7 Rational-quadratic splines (6 points)

# %% tags=["q7_spline"]
def rational_quadratic_spline(
    x: Tensor, widths: Tensor, heights: Tensor, derivatives: Tensor, bound: float, inverse: bool = False
) -> tuple[Tensor, Tensor]:
    """A smooth increasing map of [-bound, bound] to itself, the identity outside. Durkan 2019, section 3.1.

    x: (...). widths, heights: (..., K) and derivatives: (..., K-1), any real numbers: bins get the share softmax(widths)
    of the interval, but at least 1e-3 of it each: 1e-3 + (1 - 1e-3 K) softmax; inner knots the slope 1e-3 +
    softplus(derivatives); both ends the slope 1. Returns y (...) and log_det (...), elementwise, of the map that was
    applied: log |dy/dx| of the spline, or of its inverse when inverse=True.
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
        self.net = nn.Sequential(                                    # K widths, K heights, K-1 slopes per dimension
            nn.Linear(num_dims, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU(),
            nn.Linear(hidden, num_dims * (3 * num_bins - 1)),
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

# %% [markdown]
# ## T3 Hutchinson's estimator (2 points)

# %% tags=["t3_hutchinson"]
### BEGIN SOLUTION: t3_mean = ..., t3_rademacher = ..., t3_gaussian = ... (numbers)
matrix = [[2, 1, 0], [3, -1, 2], [-2, 0, 4]]
symmetric = [[(matrix[i][j] + matrix[j][i]) / 2 for j in range(3)] for i in range(3)]
squares, diagonal = sum(v**2 for row in symmetric for v in row), [matrix[i][i] for i in range(3)]
t3_mean = sum(diagonal)
t3_rademacher = 2 * (squares - sum(v**2 for v in diagonal))     # eps_i^2 = 1: the diagonal adds no variance
t3_gaussian = 2 * squares
### END SOLUTION

# %% [markdown]
# ## Q8 Continuous flows (8 points)

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
        velocity = f(x, t)
        if not velocity.requires_grad:                         # a field that depends on nothing has no divergence
            return x.new_zeros(len(x))
        (product,) = torch.autograd.grad(velocity, x, eps, create_graph=True, materialize_grads=True)
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

# %% [markdown]
# ## T5 What density and samples cost (2 points)

# %% tags=["t5_costs"]
### BEGIN SOLUTION: t5_coupling = "..", t5_maf = "..", t5_iaf = "..", t5_cnf = ".." (two letters each: density, sample)
ONE_PASS, PASS_PER_DIMENSION, PASS_PER_SOLVER_STAGE = "ABC"
t5_coupling = ONE_PASS + ONE_PASS
t5_maf = ONE_PASS + PASS_PER_DIMENSION
t5_iaf = PASS_PER_DIMENSION + ONE_PASS
t5_cnf = PASS_PER_SOLVER_STAGE + PASS_PER_SOLVER_STAGE
### END SOLUTION

# %% [markdown]
# ## T4 Below the entropy (1 point)

# %% tags=["t4_below_entropy"]
### BEGIN SOLUTION: t4_cause = "..." (a letter), t4_nll = ... (a float)
radius, scale = 4 / math.sqrt(2), 0.5 / math.sqrt(2)
deviation = math.sqrt(radius**2 / 2 + scale**2)                  # of each coordinate
t4_cause = "C"
t4_nll = 1.434 + 2 * math.log(deviation)
### END SOLUTION

# %% [markdown]
# ## Q5 From bytes to real numbers (6 points)

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

    x: (B, ...) in [0, 1]; alpha in (0, 1/2). Returns y of the same shape and log_det (B,) = log |det dy/dx|, summed over
    all dimensions of an example.
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

# %% [markdown]
# ## Q6 A flow for images (11 points)

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
    values, over batch, rows and columns); from then on both are ordinary parameters. In eval mode nothing is ever set: a
    fresh layer is the identity. That the start has happened is stored in the state dict.
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
        ### END SOLUTION

    ### BEGIN SOLUTION: any methods of your own
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
        ### END SOLUTION

    ### BEGIN SOLUTION: any methods of your own
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
        ### END SOLUTION

    ### BEGIN SOLUTION: any methods of your own
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
