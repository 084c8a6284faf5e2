"""H1-X193: a width that heads do not divide is rounded down instead of refused. Loses: q8_gpt_cache."""


class GPT(GPT):
    def __init__(self, vocab_size: int, context_length: int, width: int, depth: int, heads: int):
        super().__init__(vocab_size, context_length, width - width % heads, depth, heads)
