"""The attention core as Triton kernels, for GPUs.

Nothing here is imported but by :mod:`grjca.fusion.kernels.choice`, and only where Triton was
chosen: importing the rest needs the package ``triton``.
"""
