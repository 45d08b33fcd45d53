"""The model once more, in NumPy float64, from its equations; loops where they are plain.

Nothing of ``grjca.fusion`` is used but the names of the parameters in the state dict.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass
class Reference:
    """Outputs of a forward pass, and in training the running statistics it leaves behind."""

    prediction: Array
    features: Array
    gates: dict[str, Array]
    encoded: dict[str, Array]
    running: dict[str, Array] = field(default_factory=dict)


def state_arrays(model: Any) -> dict[str, Array]:
    return {k: v.detach().cpu().numpy().astype(np.float64) for k, v in model.state_dict().items()}


def leaky(x: Array) -> Array:
    return np.where(x > 0, x, 0.01 * x)


def relu(x: Array) -> Array:
    return np.maximum(x, 0.0)


def softmax(x: Array) -> Array:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def linear(p: dict[str, Array], name: str, x: Array) -> Array:
    return x @ p[f"{name}.weight"].T + p[f"{name}.bias"]


def causal_conv(p: dict[str, Array], name: str, x: Array, dilation: int) -> Array:
    """One clip (T, C_in), tap by tap; taps before the first frame see nothing."""
    g = p[f"{name}.conv.parametrizations.weight.original0"]
    v = p[f"{name}.conv.parametrizations.weight.original1"]
    weight = g * v / np.sqrt((v**2).sum((1, 2), keepdims=True))
    taps = weight.shape[2]
    out = np.tile(p[f"{name}.conv.bias"], (len(x), 1))
    for t in range(len(x)):
        for k in range(taps):
            source = t - (taps - 1 - k) * dilation
            if source >= 0:
                out[t] += weight[:, :, k] @ x[source]
    return out


def temporal_encoder(p: dict[str, Array], name: str, x: Array, blocks: int) -> Array:
    """One clip's real frames (T, C), no dropout."""
    for i in range(blocks):
        block = f"{name}.blocks.{i}"
        inner = leaky(causal_conv(p, f"{block}.first", x, 2**i))
        inner = leaky(causal_conv(p, f"{block}.second", inner, 2**i))
        if f"{block}.residual.weight" in p:
            x = x @ p[f"{block}.residual.weight"][:, :, 0].T + p[f"{block}.residual.bias"]
        x = leaky(inner + x)
    return x


def batch_norm(
    p: dict[str, Array], name: str, clips: list[Array], training: bool, running: dict[str, Array]
) -> list[Array]:
    """Over the real frames of all clips."""
    mean, var = p[f"{name}.running_mean"], p[f"{name}.running_var"]
    rows = np.concatenate(clips)
    if training and len(rows) >= 2:
        running[f"{name}.running_mean"] = 0.9 * mean + 0.1 * rows.mean(0)
        running[f"{name}.running_var"] = 0.9 * var + 0.1 * rows.var(0, ddof=1)
        mean, var = rows.mean(0), rows.var(0)
    return [
        (c - mean) / np.sqrt(var + 1e-5) * p[f"{name}.weight"] + p[f"{name}.bias"] for c in clips
    ]


def attention_layer(
    p: dict[str, Array], name: str, visual: Array, audio: Array, window: int
) -> tuple[Array, Array]:
    """One clip's real frames, which come first in the window: (T, d_v), (T, d_a)."""
    joint = np.concatenate([visual, audio], -1)
    query = linear(p, f"{name}.query", joint)
    frames, d = joint.shape
    out = []
    for modality, x in (("visual", visual), ("audio", audio)):
        if f"{name}.mix_{modality}.weight" in p:
            mix, bias = p[f"{name}.mix_{modality}.weight"], p[f"{name}.mix_{modality}.bias"]
            key = mix[:frames, :frames] @ x + bias[:frames, None]
            correlation = np.tanh(key.T @ query / np.sqrt(d))
        else:
            correlation = np.tanh(x.T @ query / np.sqrt(d) * window / frames)
        attended = relu(np.tanh(linear(p, f"{name}.value_{modality}", x) @ correlation))
        out.append(x + relu(linear(p, f"{name}.project_{modality}", attended)))
    return out[0], out[1]


def attention_states(
    p: dict[str, Array], name: str, visual: Array, audio: Array, iterations: int, window: int
) -> tuple[list[Array], list[Array]]:
    states: tuple[list[Array], list[Array]] = ([], [])
    for kept, x in zip(states, (visual, audio), strict=True):
        kept.append(x / np.linalg.norm(x, axis=-1, keepdims=True))
    for layer in range(iterations):
        last = states[0][-1], states[1][-1]
        for kept, x in zip(
            states, attention_layer(p, f"{name}.layers.{layer}", *last, window), strict=True
        ):
            kept.append(x)
    return states


def cross_attention(
    p: dict[str, Array], name: str, visual: Array, audio: Array, tau: float
) -> tuple[Array, Array]:
    """One clip's real frames, frame by frame of the other modality."""
    visual, audio = (x / np.linalg.norm(x, axis=-1, keepdims=True) for x in (visual, audio))
    correlation = audio @ p[f"{name}.correlation.weight"] @ visual.T
    out = []
    for x, scores in ((visual, correlation), (audio, correlation.T)):
        attended = np.zeros_like(x)
        for other in range(len(x)):
            shares = np.exp(scores[other] / tau) / np.exp(scores[other] / tau).sum()
            for i, share in enumerate(shares):
                attended[other] += share * x[i]
        out.append(np.tanh(x + attended))
    return out[0], out[1]


def gate(
    p: dict[str, Array], name: str, chooser: Array, candidates: list[Array], tau: float
) -> tuple[Array, Array]:
    weights = softmax(linear(p, f"{name}.score", chooser) / tau)
    total = sum(weights[:, [i]] * x for i, x in enumerate(candidates))
    return relu(np.asarray(total)), weights


def hierarchical_gate(
    p: dict[str, Array], name: str, states: list[Array], tau: float
) -> tuple[Array, dict[str, Array]]:
    gated, weights = [], {}
    for level in range(1, len(states)):
        out, weights[str(level)] = gate(
            p, f"{name}.at.{level - 1}", states[level], states[: level + 1], tau
        )
        gated.append(out)
    out, weights["across"] = gate(p, f"{name}.across", states[-1], gated, tau)
    return out, weights


def fuse(
    p: dict[str, Array], config: Any, visual: Array, audio: Array
) -> tuple[Array, dict[str, Array]]:
    """One clip's real frames after their encoders: fused features and the gates' weights."""
    if config.fusion == "concat":
        return np.concatenate([visual, audio], -1), {}
    if config.fusion == "ca":
        both = cross_attention(p, "fusion.attention", visual, audio, config.temperature)
        return np.concatenate(both, -1), {}
    iterations = 1 if config.fusion == "jca" else config.iterations
    states = attention_states(p, "fusion.attention", visual, audio, iterations, config.window)
    if config.fusion in ("jca", "rjca"):
        return np.concatenate([states[0][-1], states[1][-1]], -1), {}
    fused, gates = [], {}
    for name, kept in zip(("visual", "audio"), states, strict=True):
        if config.fusion == "grjca":
            out, gates[name] = gate(p, f"fusion.gate_{name}", kept[-1], kept, config.temperature)
        else:
            out, weights = hierarchical_gate(p, f"fusion.gate_{name}", kept, config.temperature)
            gates |= {f"{name}_{level}": w for level, w in weights.items()}
        fused.append(out)
    return np.concatenate(fused, -1), gates


def reference(
    p: dict[str, Array],
    config: Any,
    visual: Array,
    audio: Array,
    visual_valid: Array,
    audio_valid: Array,
    lengths: list[int],
    training: bool = False,
) -> Reference:
    """Forward pass without dropout over clips whose first ``lengths[b]`` frames are real.

    Works on lists of unpadded clips; only the answer is padded (with zeros, as the model's).
    """
    arguments = (visual, audio, visual_valid, audio_valid, lengths, training)
    if config.head == "separate" and len(config.outputs) > 1:
        parts = {}
        for name in config.outputs:
            start = f"separate.{name}."
            own = {k.removeprefix(start): v for k, v in p.items() if k.startswith(start)}
            parts[name] = reference(own, replace(config, outputs=(name,)), *arguments)
        return side_by_side(parts)
    running: dict[str, Array] = {}
    clips: dict[str, list[Array]] = {}
    for name, x, valid, channels in (
        ("visual", visual, visual_valid, config.visual_channels),
        ("audio", audio, audio_valid, config.audio_channels),
    ):
        encoded = []
        for b, n in enumerate(lengths):
            rows = np.tile(p[f"{name}.input.token"], (n, 1))
            seen = valid[b, :n]
            rows[seen] = (x[b, :n][seen] - p[f"{name}.input.mean"]) / p[f"{name}.input.std"]
            if config.temporal == "tcn":
                encoded.append(temporal_encoder(p, f"{name}.temporal", rows, len(channels)))
            else:
                encoded.append(linear(p, f"{name}.temporal.linear", rows))
        clips[name] = batch_norm(p, f"{name}.norm", encoded, training, running)

    fused, gates = [], {}
    for v, a in zip(clips["visual"], clips["audio"], strict=True):
        out, weights = fuse(p, config, v, a)
        fused.append(out)
        for name, w in weights.items():
            gates.setdefault(name, []).append(w)

    hidden = [linear(p, "head.hidden", x) for x in fused]
    hidden = [leaky(x) for x in batch_norm(p, "head.norm", hidden, training, running)]
    prediction = [np.tanh(linear(p, "head.out", x)) for x in hidden]

    total = visual.shape[1]

    def pad(parts: list[Array]) -> Array:
        return np.stack([np.pad(x, ((0, total - len(x)), (0, 0))) for x in parts])

    return Reference(
        prediction=pad(prediction),
        features=pad(fused),
        gates={k: pad(v) for k, v in gates.items()},
        encoded={k: pad(v) for k, v in clips.items()},
        running=running,
    )


def side_by_side(parts: dict[str, Reference]) -> Reference:
    def named(which: str, between: str) -> dict[str, Array]:
        items = ((n, getattr(part, which)) for n, part in parts.items())
        return {between.format(n, k): v for n, values in items for k, v in values.items()}

    return Reference(
        prediction=np.concatenate([part.prediction for part in parts.values()], -1),
        features=np.concatenate([part.features for part in parts.values()], -1),
        gates=named("gates", "{}_{}"),
        encoded=named("encoded", "{}_{}"),
        running=named("running", "separate.{}.{}"),
    )


def ccc_formula(x: Array, y: Array) -> float:
    """Lin's coefficient, population moments, sums written out."""
    n = len(x)
    mx, my = x.sum() / n, y.sum() / n
    cov = ((x - mx) * (y - my)).sum() / n
    vx, vy = ((x - mx) ** 2).sum() / n, ((y - my) ** 2).sum() / n
    return float(2 * cov / (vx + vy + (mx - my) ** 2))
