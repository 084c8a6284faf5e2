"""H1-W18: True means hidden for nn.MultiheadAttention, but visible for scaled_dot_product_attention. Loses:
q7_attention.
"""


def causal_attention(q: Tensor, k: Tensor, v: Tensor, past_length: int = 0) -> Tensor:
    position = torch.arange(k.shape[-2], device=q.device)
    future = position[None, :] > position[past_length:, None]
    return F.scaled_dot_product_attention(q, k, v, attn_mask=future)
