"""H1-X351: the generator is seeded anew in every call.
Loses: q3_made."""

class MADE(MADE):
    @torch.no_grad()
    def sample(self, n, generator=None):
        x = torch.zeros(n, self.num_dims, dtype=torch.long)
        for d in np.argsort(self.rank):
            probs = self.logits(x)[:, d].softmax(dim=-1)
            x[:, d] = torch.multinomial(probs, 1, generator=torch.Generator().manual_seed(d.item()))[:, 0]
        return x
