"""H1-Y05: every forward pass multiplies weight.data by the mask, in place; tanh; Gumbel sampling; dropout in training."""

class MaskedLinear(MaskedLinear):
    def forward(self, x):
        self.weight.data *= self.mask
        return F.linear(x, self.weight, self.bias)

class MADE(MADE):
    def logits(self, x):
        h = 2 * x.to(torch.get_default_dtype()) / (self.num_levels - 1) - 1
        for layer in self.layers[:-1]:
            h = F.dropout(torch.tanh(layer(h)), 0.1, self.training)
        return self.layers[-1](h).unflatten(1, (self.num_dims, self.num_levels))

    @torch.no_grad()
    def sample(self, n, generator=None):
        x = torch.zeros((n, self.num_dims), dtype=torch.int64)
        rank = torch.as_tensor(self.rank)
        for step in range(self.num_dims):
            d = (rank == step).nonzero().item()
            gumbel = -torch.rand(n, self.num_levels, generator=generator).clamp(min=1e-20).log().neg().log()
            x[:, d] = (self.logits(x)[:, d] + gumbel).argmax(-1)
        return x
