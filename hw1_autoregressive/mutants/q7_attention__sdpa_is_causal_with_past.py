"""H1-X58: is_causal aligns the mask at the top left, which is wrong when there are more keys than queries. Loses:
q7_attention.
"""


def causal_attention(q: Tensor, k: Tensor, v: Tensor, past_length: int = 0) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)
