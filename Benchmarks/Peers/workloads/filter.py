"""A bootstrap filter of 800 steps for stochastic volatility in NumPy."""

import numpy as np

STEPS = 800
MEAN, SLOPE, SCALE = -1, 0.95, 0.25


def forward(particles):
    y = (0.7 * np.sin(1.7 * np.arange(STEPS))).astype(np.float32)

    def run():
        generator = np.random.default_rng(0)
        evidence = 0.0
        h = MEAN + SCALE / np.sqrt(1 - SLOPE**2) * generator.standard_normal(particles, np.float32)
        for step in range(STEPS):
            if step > 0:
                positions = (np.arange(particles) + generator.random()) / particles
                sums = np.cumsum(shares)
                h = h[np.minimum(np.searchsorted(sums / sums[-1], positions), particles - 1)]
                h = MEAN + SLOPE * (h - MEAN) + SCALE * generator.standard_normal(particles, np.float32)
            log_weights = -0.5 * (y[step] ** 2 * np.exp(-h) + h + np.log(2 * np.pi))
            greatest = log_weights.max()
            shares = np.exp(log_weights - greatest)
            evidence += greatest + np.log(shares.mean())
        return {"log_weight": log_weights, "log_Z": evidence, "ess": shares.sum() ** 2 / np.square(shares).sum()}

    return run
