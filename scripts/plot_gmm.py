"""Draws the results of `examples gmm --out DIR`: clusters before and after training, and densities over sweeps."""

from matplotlib.patches import Ellipse

import gibbs_picture


def outlines(axes, time, inferred, number, colours):
    """Two standard deviations around each mean."""
    for mean, tau, colour in zip(inferred["mean"][number], inferred["tau"][number], colours):
        width, height = 4 / tau**0.5
        axes.add_patch(Ellipse(mean, width, height, facecolor=colour, alpha=0.22))


if __name__ == "__main__":
    gibbs_picture.main("gmm", __doc__, count=3, outlines_of=lambda folder: outlines)
