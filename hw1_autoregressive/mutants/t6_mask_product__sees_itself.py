"""H1-X475: outputs are connected to hidden units of their own rank.
Loses: t6_mask_product."""

t6_product = ((ranks[:, None] >= second_hidden[None, :]).astype(int) @ mask_2.astype(int) @ mask_1.astype(int)).tolist()
