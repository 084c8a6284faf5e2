"""H1-X344: the sampler draws dimension 0, 1, 2... whatever the ordering.
Loses: q3_made."""

class MADE(MADE):
    @torch.no_grad()
    def sample(self, n, generator=None):
        x = torch.zeros(n, self.num_dims, dtype=torch.long)
        for d in range(self.num_dims):
            probs = self.logits(x)[:, d].softmax(dim=-1)
            x[:, d] = torch.multinomial(probs, 1, generator=generator)[:, 0]
        return x
