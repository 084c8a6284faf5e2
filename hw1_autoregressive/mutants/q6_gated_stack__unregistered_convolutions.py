"""H1-X144: the convolutions stand in a plain dict, so they are not saved and not trained. Loses: q6_gated_stack."""


class GatedMaskedConv(GatedMaskedConv):
    def __init__(self, channels: int, kernel_size: int, first: bool = False):
        super().__init__(channels, kernel_size, first)
        self.hidden = {"vertical": self.vertical, "link": self.link}
        del self.vertical, self.link

    def forward(self, v: Tensor, h: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        self.__dict__.update({name: layer.to(v) for name, layer in self.hidden.items()})
        return super().forward(v, h, condition)
