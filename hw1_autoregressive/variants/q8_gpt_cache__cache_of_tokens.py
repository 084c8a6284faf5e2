"""H1-A09: the cache holds the tokens so far, and everything is computed again."""


class GPT(GPT):
    def forward(self, idx, cache=None):
        tokens = idx if cache is None else torch.cat([cache, idx], dim=1)
        logits, _ = super().forward(tokens)
        return logits[:, tokens.shape[1] - idx.shape[1] :], tokens
