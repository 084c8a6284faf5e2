# %% [markdown]
# # HW1 Autoregressive models

# %% tags=["setup"]
import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

# %% [markdown]
# ## Q1 Histogram (4 points)

# %% tags=["q1_histogram"]
def fit_histogram(x: Tensor, num_levels: int) -> Tensor:
    """Maximum likelihood estimate of a distribution over levels: p_k = (number of x equal to k) / N.

    x: (N,) int64 in 0..num_levels-1. Returns (num_levels,) float probabilities, 0 for a level that never occurs.
    """
    ### BEGIN SOLUTION: count the levels
    return torch.bincount(x, minlength=num_levels) / len(x)
    ### END SOLUTION

# %% [markdown]
# ## T2 From nats to bits per dimension (1 point)

# %% tags=["t2_bits_per_dim"]
### BEGIN SOLUTION: t2_bits_per_dim_value = ... (a float)
t2_bits_per_dim_value = 6230.4 / (3 * 32 * 32 * math.log(2))
### END SOLUTION

# %% [markdown]
# ## Q2 Discretised logistic mixture (8 points)

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

# %% [markdown]
# ## T6 A product of MADE masks (1 point)

# %% tags=["t6_mask_product"]
### BEGIN SOLUTION: t6_product = [[...], ...] (4 lists of 4 ints)
ranks, first_hidden, second_hidden = np.array([2, 0, 3, 1]), np.array([0, 2, 1, 0, 1]), np.array([1, 0, 2, 1])
mask_1 = first_hidden[:, None] >= ranks[None, :]
mask_2 = second_hidden[:, None] >= first_hidden[None, :]
mask_3 = ranks[:, None] > second_hidden[None, :]
t6_product = (mask_3.astype(int) @ mask_2.astype(int) @ mask_1.astype(int)).tolist()
### END SOLUTION

# %% [markdown]
# ## Q3 MADE (11 points)

# %% tags=["q3_made"]
def made_masks(
    num_dims: int, hidden_sizes: Sequence[int], num_levels: int, ordering: Sequence[int] | None = None
) -> list[Tensor]:
    """Masks of a MADE with one output per dimension and level. Germain 2015, section 3.

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

# %% [markdown]
# ## Q4 Masked convolution (8 points)

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

# %% [markdown]
# ## T3 How far a stack of masked convolutions sees (1 point)

# %% tags=["t3_receptive_field"]
### BEGIN SOLUTION: t3_width = ... (an int)
t3_width = 9 + 8 * (5 - 1)
### END SOLUTION

# %% [markdown]
# ## Q5 PixelCNN (9 points)

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
        colors = self.image_shape[0]
        self.first = MaskedConv2d(colors, hidden, 7, "A", colors)
        self.layers = nn.ModuleList(MaskedConv2d(hidden, hidden, 3, "B", colors) for _ in range(num_layers))
        self.last = MaskedConv2d(hidden, colors * num_levels, 1, "B", colors)
        self.label = None if num_classes is None else nn.Embedding(num_classes, hidden)
        ### END SOLUTION

    def logits(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Unnormalised log p(x_i = k | before). x: (B, C, H, W) int64; y: (B,) int64 or None. -> (B, K, C, H, W)."""
        ### BEGIN SOLUTION: scale the levels to [-1, 1] and run the layers
        if (y is None) != (self.num_classes is None):
            raise ValueError("give labels y exactly when the model was built with num_classes")
        h = self.first((2 * x / (self.num_levels - 1) - 1).to(self.first.weight.dtype))
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

# %% [markdown]
# ## Q6 Gated convolution in two stacks (6 points)

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

# %% [markdown]
# ## T1 What a larger vocabulary costs (1 point)

# %% tags=["t1_vocabulary"]
### BEGIN SOLUTION: t1_extra_parameters = ... (an int)
t1_extra_parameters = (128_256 - 32_000) * (640 + 640 + 1)
### END SOLUTION

# %% [markdown]
# ## Q7 Causal attention (6 points)

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

# %% [markdown]
# ## Q8 GPT with a cache (8 points)

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

# %% [markdown]
# ## T4 What a cache saves (2 points)

# %% tags=["t4_kv_cache"]
### BEGIN SOLUTION: t4_cached = ..., t4_uncached = ... (ints), t4_quadratic = "..." (a letter)
prompt_tokens, new_tokens = 33, 224
t4_cached = prompt_tokens + (new_tokens - 1)
t4_uncached = sum(range(prompt_tokens, prompt_tokens + new_tokens))
t4_quadratic = "C"
### END SOLUTION

# %% [markdown]
# ## T5 Temperature of a step, temperature of a sequence (2 points)

# %% tags=["t5_temperature"]
### BEGIN SOLUTION: t5_per_step = ..., t5_joint = ... (floats)
p_a, p_b = np.array([0.55, 0.45]), np.array([[0.4, 0.35, 0.25], [0.9, 0.05, 0.05]])
sharp_a, sharp_b = p_a**2 / (p_a**2).sum(), p_b**2 / (p_b**2).sum(axis=1, keepdims=True)      # 1 / T = 2
sharp_joint = (p_a[:, None] * p_b) ** 2
t5_per_step = float(sharp_a[1] * sharp_b[1, 0])
t5_joint = float(sharp_joint[1, 0] / sharp_joint.sum())
### END SOLUTION

# %% [markdown]
# ## Q9 Sampling and generation (4 points)

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
