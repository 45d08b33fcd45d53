"""Temporal encoders: from a frame's embedding to features that have seen the frames before it."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm

from grjca.fusion.masked import zero_padding


class CausalConv(nn.Module):
    """A weight-normed dilated convolution that sees a frame and those before it, never later ones.

    Args:
        width_in: Features per frame coming in.
        width_out: Features per frame going out.
        kernel: Taps.
        dilation: Frames between taps.
    """

    def __init__(self, width_in: int, width_out: int, kernel: int, dilation: int) -> None:
        super().__init__()
        self.reach = (kernel - 1) * dilation
        self.conv = weight_norm(nn.Conv1d(width_in, width_out, kernel, dilation=dilation))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, T) to (B, C_out, T); frames before the first count as 0."""
        out: Tensor = self.conv(functional.pad(x, (self.reach, 0)))
        return out


class CausalBlock(nn.Module):
    """Two causal convolutions beside a residual path (Bai et al., arXiv 1803.01271).

    Each convolution is followed by LeakyReLU and dropout; the residual is a 1x1 convolution where
    the widths differ; LeakyReLU again after the sum.

    Args:
        width_in: Features per frame coming in.
        width_out: Features per frame going out.
        kernel: Taps.
        dilation: Frames between taps.
        dropout: Share dropped after each convolution in training.
    """

    def __init__(
        self, width_in: int, width_out: int, kernel: int, dilation: int, dropout: float
    ) -> None:
        super().__init__()
        self.first = CausalConv(width_in, width_out, kernel, dilation)
        self.second = CausalConv(width_out, width_out, kernel, dilation)
        same = width_in == width_out
        self.residual = nn.Identity() if same else nn.Conv1d(width_in, width_out, 1)
        self.activation = nn.LeakyReLU()
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, padding: Tensor) -> Tensor:
        """Encode.

        Args:
            x: (B, C_in, T), 0 in padding.
            padding: (B, 1, T) bool, true where there is no frame.

        Returns:
            (B, C_out, T), 0 in padding.
        """
        inner = self.dropout(self.activation(self.first(x)))
        # A clip that padding precedes must look to the second convolution like one that starts
        # there, so what the first one made of the padding is removed again.
        inner = inner.masked_fill(padding, 0.0)
        inner = self.dropout(self.activation(self.second(inner)))
        out: Tensor = self.activation(inner + self.residual(x))
        return out.masked_fill(padding, 0.0)


class TemporalConvolution(nn.Module):
    """A stack of causal blocks whose dilation doubles from block to block (1, 2, 4, ...).

    Padding counts as nothing, before a clip as well as after it. Frame t sees itself and the
    ``reach`` frames before it.

    Args:
        width_in: Features per frame coming in.
        channels: Width of each block.
        kernel: Taps of each convolution.
        dropout: Share dropped after each convolution in training.
    """

    def __init__(self, width_in: int, channels: Sequence[int], kernel: int, dropout: float) -> None:
        super().__init__()
        self.reach = 2 * (kernel - 1) * (2 ** len(channels) - 1)
        widths = [width_in, *channels]
        self.blocks = nn.ModuleList(
            CausalBlock(widths[i], widths[i + 1], kernel, 2**i, dropout)
            for i in range(len(channels))
        )

    def forward(self, x: Tensor, frames: Tensor) -> Tensor:
        """Encode.

        Args:
            x: (B, T, C_in) float; anything in padding.
            frames: (B, T) bool, true for real frames.

        Returns:
            (B, T, channels[-1]), 0 in padding.
        """
        padding = ~frames.unsqueeze(1)
        hidden = x.transpose(1, 2).masked_fill(padding, 0.0)
        for block in self.blocks:
            hidden = block(hidden, padding)
        return hidden.transpose(1, 2)


class FrameProjection(nn.Module):
    """No temporal context: one linear layer, frame by frame.

    Args:
        width_in: Features per frame coming in.
        width_out: Features per frame going out.
    """

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width_in, width_out)

    def forward(self, x: Tensor, frames: Tensor) -> Tensor:
        """(B, T, C_in) with anything in padding to (B, T, C_out) with 0 in padding."""
        return zero_padding(self.linear(zero_padding(x, frames)), frames)


def build_encoder(
    temporal: str, width_in: int, channels: Sequence[int], kernel: int, dropout: float
) -> nn.Module:
    """The encoder of one modality by name.

    Args:
        temporal: ``tcn`` or ``none``.
        width_in: Features per frame coming in.
        channels: Width of each block; the last is the width that comes out.
        kernel: Taps of each convolution.
        dropout: Share dropped after each convolution in training.

    Raises:
        ValueError: There is no encoder of that name.
    """
    if temporal == "tcn":
        return TemporalConvolution(width_in, channels, kernel, dropout)
    if temporal == "none":
        return FrameProjection(width_in, channels[-1])
    raise ValueError(f"no temporal encoder called {temporal!r}; known: tcn, none")
