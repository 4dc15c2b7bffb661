"""Bouncing digits by amortized population Gibbs sampling: eight sequences of four frames of 32 x 32 pixels with two digits of
14 x 14 each, and two sweeps. The digits are random numbers.

As in Coix, digits are cut out of the window where they are; the reference's example moves the frame in the other direction. Its
random order of frames, and the rendered frames in the sampler's state, which no kernel reads, are left out.
"""

import functools

from . import _gibbs

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from flax import linen as nn

SEQUENCES, BATCH, FRAMES, SWEEPS = 400, 8, 4, 2
IMAGES, DIGITS, SIZE, FRAME_SIZE = 100, 2, 14, 32
LATENT, HIDDEN = 10, (200, 100)


def digits_and_sequences():
    """Images of digits, and frames in which some of them move straight ahead and bounce off the edges."""
    generator = np.random.default_rng(1)
    images = generator.random((IMAGES, SIZE, SIZE), np.float32)
    frames = np.zeros((SEQUENCES, FRAMES, FRAME_SIZE, FRAME_SIZE), np.float32)
    for sequence in frames:
        for image in generator.choice(images, DIGITS):
            start, angle = generator.random(2), 2 * np.pi * generator.random()
            for time, frame in enumerate(sequence):
                place = (start + 0.1 * time * np.array([np.sin(angle), np.cos(angle)])) % 2
                top, left = np.rint((FRAME_SIZE - SIZE) * np.minimum(place, 2 - place)).astype(int)
                window = frame[top:top + SIZE, left:left + SIZE]
                np.maximum(window, image, out=window)
    return images, frames


def translated(size, direction):
    """A function of images `[..., height, width]` and positions `[..., 2]`, which moves images into frames of a size."""

    def translate(image, position):
        offset = direction * (FRAME_SIZE - SIZE) / 2 * (position[::-1] + 1)
        return jax.image.scale_and_translate(
            image, (size, size), (0, 1), jnp.ones(2), offset, method="cubic", antialias=False)

    return jnp.vectorize(translate, signature="(h,w),(k)->(m,n)")


embedded, cropped = translated(FRAME_SIZE, 1), translated(SIZE, -1)
fits = jnp.vectorize(functools.partial(jax.scipy.signal.convolve2d, mode="valid"), signature="(h,w),(m,n)->(p,q)")


class WhatEncoder(nn.Module):
    """From a digit's pixels in all frames to location and scale of its code."""

    @nn.compact
    def __call__(self, digits):
        x = digits.reshape(*digits.shape[:-2], -1)
        for width in HIDDEN:
            x = nn.relu(nn.Dense(width)(x))
        x = x.sum(axis=-2)
        return nn.Dense(LATENT)(x), jnp.exp(0.5 * nn.Dense(LATENT)(x))


class WhereEncoder(nn.Module):
    """From how well a digit fits at each place of a frame to location and scale of its position."""

    @nn.compact
    def __call__(self, fits):
        x = nn.softmax(fits.reshape(*fits.shape[:-2], -1), axis=-1)
        for _ in range(2):
            x = nn.relu(nn.Dense(HIDDEN[1])(x))
        for_location, for_scale = jnp.split(x, 2, axis=-1)
        return nn.tanh(nn.Dense(2)(for_location)), jnp.exp(0.5 * nn.Dense(2)(for_scale))


class WhatDecoder(nn.Module):
    """From a digit's code to its pixels."""

    @nn.compact
    def __call__(self, x):
        for width in reversed(HIDDEN):
            x = nn.relu(nn.Dense(width)(x))
        return nn.sigmoid(nn.Dense(SIZE * SIZE)(x)).reshape(*x.shape[:-1], SIZE, SIZE)


NETWORKS = {"encode_what": (WhatEncoder(), (FRAMES, SIZE, SIZE)),
            "encode_where": (WhereEncoder(), (FRAME_SIZE - SIZE + 1, FRAME_SIZE - SIZE + 1)), "decode_what": (WhatDecoder(), (LATENT,))}


def programs(mean_digit):
    def target(apply, frames):
        what = numpyro.sample("what", dist.Normal(0, 1).expand((DIGITS, LATENT)).to_event(2))
        digits = apply("decode_what", what)
        paths = []
        for digit in range(DIGITS):
            path = []
            for time in range(FRAMES):
                step = dist.Normal(path[-1], 0.1) if path else dist.Normal(jnp.zeros(2), 1)
                path.append(numpyro.sample(f"where_{digit}_{time}", step.to_event(1)))
            paths.append(jnp.stack(path, axis=-2))
        paths = jnp.stack(paths, axis=-3)
        pixels = embedded(digits[..., None, :, :], paths).sum(axis=-4)
        shown = dist.Bernoulli(dist.util.clamp_probs(pixels), validate_args=False)  # of grey levels, too
        numpyro.sample("frames", shown.to_event(3), obs=frames)
        positions = {time: paths[..., time, :] for time in range(FRAMES)}
        return ({"frames": frames, "digits": jax.lax.stop_gradient(digits), "positions": positions},)

    def propose_where(apply, time, scene):
        if not isinstance(scene, dict):  # the first time there are only frames
            scene = {"frames": scene, "digits": jnp.stack([mean_digit] * DIGITS), "positions": {}}
        rest, positions = scene["frames"][..., time, :, :], []
        for number in range(DIGITS):
            digit = scene["digits"][..., number, :, :]
            location, scale = apply("encode_where", fits(rest, digit))
            positions.append(numpyro.sample(f"where_{number}_{time}", dist.Normal(location, scale).to_event(1)))
            rest = rest - embedded(digit, positions[-1])
        return ({**scene, "positions": {**scene["positions"], time: jnp.stack(positions, axis=-2)}},)

    def propose_what(apply, scene):
        paths = jnp.stack([scene["positions"][time] for time in range(FRAMES)], axis=-2)
        location, scale = apply("encode_what", cropped(scene["frames"][..., None, :, :, :], paths))
        numpyro.sample("what", dist.Normal(location, scale).to_event(2))
        return (scene,)

    def applying(apply):
        kernels = [functools.partial(propose_where, apply, time) for time in range(FRAMES)]
        return functools.partial(target, apply), [*kernels, functools.partial(propose_what, apply)]

    return applying


def train(particles):
    images, sequences = digits_and_sequences()
    return _gibbs.steps(programs(images.mean(axis=0)), NETWORKS, jnp.asarray(sequences), batch=BATCH, particle_count=particles,
                        sweeps=SWEEPS, dim=-2)
