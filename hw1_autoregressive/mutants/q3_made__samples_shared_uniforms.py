"""H1-X352: all rows of the batch share one uniform number per dimension.
Loses: q3_made."""

class MADE(MADE):
    @torch.no_grad()
    def sample(self, n, generator=None):
        x = torch.zeros(n, self.num_dims, dtype=torch.long)
        for d in np.argsort(self.rank):
            probs = self.logits(x)[:, d].softmax(dim=-1)
            x[:, d] = (probs.cumsum(1) < torch.rand(1, generator=generator)).sum(1).clamp(max=self.num_levels - 1)
        return x
