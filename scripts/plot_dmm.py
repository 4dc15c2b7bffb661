"""Draws the results of `examples dmm --out DIR`: rings before and after training, and densities over sweeps."""

import numpy as np

import gibbs_picture


def outlines_of(folder):
    """Each inferred centre, after training with the ring that the decoder gives."""
    parameters = gibbs_picture.load(folder, "parameters.npz")

    def layer(x, number):
        return x @ parameters[f"decode_h.layers.{number}.kernel"] + parameters[f"decode_h.layers.{number}.bias"]

    ring = layer(np.tanh(layer(np.linspace(0, 1, 400)[:, None], 0)), 1)
    ring /= np.linalg.norm(ring, axis=1, keepdims=True)

    def outlines(axes, time, inferred, number, colours):
        for centre, colour in zip(inferred["mu"][number], colours):
            axes.plot(*centre, "x", color=colour, markersize=6)
            if time == "after":
                axes.plot(*(centre + ring).T, color=colour, linewidth=4, alpha=0.25)

    return outlines


if __name__ == "__main__":
    gibbs_picture.main("dmm", __doc__, count=4, outlines_of=outlines_of)
