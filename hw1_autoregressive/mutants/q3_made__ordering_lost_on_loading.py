"""H1-X369: masks follow random degrees that are not saved, so that a loaded model is another one.
Loses: q3_made."""

_fixed_masks = made_masks

class MADE(MADE):
    def __init__(self, num_dims, num_levels, hidden_sizes, ordering=None):
        super().__init__(num_dims, num_levels, hidden_sizes, ordering)
        rank = torch.tensor(self.rank)
        degrees = [rank] + [(torch.arange(s) % (num_dims - 1))[torch.randperm(s)] for s in hidden_sizes]
        masks = [b[:, None] >= a for a, b in zip(degrees, degrees[1:])]
        masks.append(rank.repeat_interleave(num_levels)[:, None] > degrees[-1])
        for layer, mask in zip(self.layers, masks):
            del layer.mask
            layer.mask = mask
