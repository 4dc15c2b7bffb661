"""Log-densities and their derivatives at extreme operands, by 120-digit arithmetic.

Writes ../CoixTests/Golden/accuracy.json: for each family of LogDensityFamily (and log B(a, b)) some points, with the operands, which are
floats, the log-density, and its derivative by each operand. Operands are drawn from wide logarithmic ranges, and values around the
distribution's bulk as well, where terms cancel most.

    python3 -m pip install mpmath numpy
    python3 log_densities.py
"""

import json
import os
import random

import numpy as np
from mpmath import mp, mpf, digamma, erfc, exp, isfinite, log, log1p, loggamma, pi, sign, sqrt

mp.dps = 120
POINTS = 40
INFINITY = float("inf")
rng = random.Random(1)


# Log-densities and derivatives.


def gamma(x, a, b):
    return a * log(b) + (a - 1) * log(x) - b * x - loggamma(a), [(a - 1) / x - b, log(b) + log(x) - digamma(a), a / b - x]


def inverse_gamma(x, a, b):
    slopes = [-(a + 1) / x + b / x**2, log(b) - log(x) - digamma(a), a / b - 1 / x]
    return a * log(b) - (a + 1) * log(x) - b / x - loggamma(a), slopes


def beta(x, a, b):
    rest, whole = log1p(-x), digamma(a + b)
    slopes = [(a - 1) / x - (b - 1) / (1 - x), log(x) + whole - digamma(a), rest + whole - digamma(b)]
    return (a - 1) * log(x) + (b - 1) * rest - log_beta(a, b)[0], slopes


def log_beta(a, b):
    slopes = [digamma(a) - digamma(a + b), digamma(b) - digamma(a + b)]
    return loggamma(a) + loggamma(b) - loggamma(a + b), slopes


def poisson(k, rate):
    return k * log(rate) - rate - loggamma(k + 1), [log(rate) - digamma(k + 1), k / rate - 1]


def binomial_terms(k, n, log_p, log_rest):
    value = loggamma(n + 1) - loggamma(k + 1) - loggamma(n - k + 1) + k * log_p + (n - k) * log_rest
    by_k = log_p - log_rest - digamma(k + 1) + digamma(n - k + 1)
    return value, [by_k, digamma(n + 1) - digamma(n - k + 1) + log_rest]


def binomial(k, n, p):
    value, slopes = binomial_terms(k, n, log(p), log1p(-p))
    return value, slopes + [(k - n * p) / (p * (1 - p))]


def log_odds(l):
    return -log1p(exp(-l)), -log1p(exp(l))


def binomial_logits(k, n, l):
    value, slopes = binomial_terms(k, n, *log_odds(l))
    return value, slopes + [k - n / (1 + exp(-l))]


def negative_terms(k, r, log_p, log_rest):
    value = loggamma(k + r) - loggamma(k + 1) - loggamma(r) + r * log_rest + k * log_p
    return value, [log_p + digamma(k + r) - digamma(k + 1), digamma(k + r) - digamma(r) + log_rest]


def negative_binomial(k, r, p):
    value, slopes = negative_terms(k, r, log(p), log1p(-p))
    return value, slopes + [k / p - r / (1 - p)]


def negative_binomial_logits(k, r, l):
    value, slopes = negative_terms(k, r, *log_odds(l))
    return value, slopes + [k - (k + r) / (1 + exp(-l))]


def negative_binomial_mean(k, r, m):
    value, (by_k, by_r) = negative_terms(k, r, log(m / (r + m)), log(r / (r + m)))
    return value, [by_k, by_r + 1 - (k + r) / (m + r), k / m - (k + r) / (m + r)]


def student_t(x, nu, location, scale):
    z = (x - location) / scale
    value = loggamma((nu + 1) / 2) - loggamma(nu / 2) - log(pi * nu) / 2 - log(scale) - (nu + 1) / 2 * log1p(z * z / nu)
    by_location = (nu + 1) * z / (scale * (nu + z * z))
    by_nu = digamma((nu + 1) / 2) - digamma(nu / 2) - 1 / nu - log1p(z * z / nu) + (nu + 1) * z * z / (nu * (nu + z * z))
    return value, [-by_location, by_nu / 2, by_location, ((nu + 1) * z * z / (nu + z * z) - 1) / scale]


def cauchy(x, location, scale):
    z = (x - location) / scale
    by_location = 2 * z / (1 + z * z) / scale
    return -log(pi) - log(scale) - log1p(z * z), [-by_location, by_location, (2 * z * z / (1 + z * z) - 1) / scale]


def laplace(x, location, scale):
    z = (x - location) / scale
    return -abs(z) - log(2 * scale), [-sign(z) / scale, sign(z) / scale, (abs(z) - 1) / scale]


def uniform(x, low, high):
    return -log(high - low), [mpf(0), 1 / (high - low), -1 / (high - low)]


def truncated_normal(x, location, scale, low, high):
    a, b, z = ((bound - location) / scale if isfinite(bound) else bound for bound in (low, high, x))

    def above(t):
        return erfc(t / sqrt(2)) / 2 if isfinite(t) else mpf(0)

    with mp.workdps(400 + int(3 * min(max(abs(t) for t in (a, b) if isfinite(t)), 100) ** 1)):
        if a > 0:
            log_mass = log(above(a) - above(b))
        elif b < 0:
            log_mass = log(above(-b) - above(-a))
        else:
            log_mass = log(1 - above(b) - above(-a))

    def density(t):
        return exp(-t * t / 2 - log(2 * pi) / 2 - log_mass) if isfinite(t) else mpf(0)

    at_a, at_b = density(a), density(b)
    by_scale = z * z - 1 - (a * at_a if at_a else 0) + (b * at_b if at_b else 0)
    slopes = [-z / scale, (z - at_a + at_b) / scale, by_scale / scale, at_a / scale, -at_b / scale]
    return -z * z / 2 - log(2 * pi) / 2 - log(scale) - log_mass, slopes


# Points.


def single(value):
    return float(np.float32(value))


def wide(*ranges):
    """A float of some power of ten within one of the ranges."""
    return single(10 ** rng.uniform(*rng.choice(ranges)))


def within(value, least, greatest):
    return single(min(max(value, least), greatest))


def whole(value):
    return float(np.floor(np.float32(abs(value))))


def gamma_point():
    a, b = wide((-3, 3), (-30, 30), (0, 8)), wide((-3, 3), (-8, 8))
    bulk = a / b * (1 + rng.gauss(0, 1) / max(a, 1) ** 0.5)
    return within(abs(rng.choice([bulk, a / b, wide((-38, 38))])), 1e-37, 1e38), a, b


def beta_point():
    a = wide((-3, 3), (-30, 30), (0, 8))
    b = within(rng.choice([a, wide((-3, 3), (-20, 20)), a * wide((-2, 2))]), 1e-37, 1e37)
    bulk = a / (a + b) * (1 + rng.gauss(0, 1) / max(a, 1) ** 0.5)
    return within(rng.choice([bulk, rng.random(), wide((-38, 0)), 1 - wide((-7, -1))]), 1e-37, 1 - 2**-24), a, b


def log_beta_point():
    a = wide((-3, 3), (-37, 37), (0, 8))
    return a, rng.choice([a, wide((-3, 3), (-37, 37))])


def poisson_point():
    rate = wide((-3, 3), (-38, 38), (0, 8))
    return rng.choice([whole(rate + rate**0.5 * rng.gauss(0, 1)), float(rng.randrange(20)), whole(wide((0, 10)))]), rate


def successes(n, p):
    bulk = whole(n * p + (n * p * (1 - p)) ** 0.5 * rng.gauss(0, 1))
    return min(rng.choice([bulk, whole(rng.random() * n), 0.0, n, 1.0]), n)


def probability():
    return within(rng.choice([rng.random(), wide((-30, 0)), 1 - 2 ** -rng.uniform(1, 24)]), 1e-37, 1 - 2**-24)


def binomial_point():
    n, p = whole(wide((0, 2), (0, 8), (0, 12))), probability()
    return successes(n, p), n, p


def binomial_logits_point():
    n = whole(wide((0, 2), (0, 8)))
    l = single(rng.choice([rng.gauss(0, 2), rng.uniform(-100, 100), rng.uniform(-32, -28)]))
    return successes(n, 1 / (1 + np.exp(-l))), n, l


def failures(mean):
    return rng.choice([whole(mean + mean**0.5 * rng.gauss(0, 1)), float(rng.randrange(10)), whole(wide((0, 9)))])


def negative_binomial_point():
    r, p = wide((-3, 3), (-20, 10), (0, 8)), within(probability(), 1e-10, 1 - 2**-24)
    return min(failures(r * p / (1 - p)), 1e30), r, p


def negative_binomial_logits_point():
    k, r, p = negative_binomial_point()
    return k, r, single(rng.choice([np.log(p / (1 - p)), rng.uniform(-80, 80), rng.gauss(0, 1)]))


def negative_binomial_mean_point():
    r, m = wide((-3, 3), (-20, 30), (0, 8)), wide((-3, 3), (0, 8), (-3, 20))
    return failures(m), r, m


def located_point():
    scale = wide((-2, 2), (-37, 37))
    location = single(rng.choice([0, rng.gauss(0, 1) * scale, rng.gauss(0, 1)]))
    x = rng.choice([location + scale * rng.gauss(0, 2), wide((-10, 38)), scale * wide((-3, 3))])
    return rng.choice([1, -1]) * within(abs(x), 1e-37, 3e38), location, scale


def student_t_point():
    x, location, scale = located_point()
    return x, wide((-3, 3), (-30, 38), (0, 8)), location, scale


def uniform_point():
    low, high = sorted(rng.choice([1, -1]) * wide((-3, 3), (-38, 38.4)) for _ in range(2))
    return single(low / 2 + high / 2), low, high


def truncated_normal_point():
    scale, location = wide((-1, 1), (-5, 2), (-10, 3)), single(rng.choice([0, rng.gauss(0, 1), rng.gauss(0, 10)]))
    low = single(location + scale * rng.gauss(0, 1) * rng.choice([1, 5, 30]))
    high = max(single(low + scale * 10 ** rng.uniform(-6, 3)), float(np.nextafter(np.float32(low), np.float32(INFINITY))))
    bounds = rng.choice([(low, high), (low, high), (-INFINITY, high), (low, INFINITY)])
    ends = [bounds[0], bounds[1]]
    ends[0] = high - 5 * scale * rng.random() if ends[0] == -INFINITY else ends[0]
    ends[1] = low + 5 * scale * rng.random() if ends[1] == INFINITY else ends[1]
    x = ends[0] + (ends[1] - ends[0]) * rng.choice([rng.random(), wide((-8, 0)), 1 - wide((-8, 0))])
    return within(x, *bounds), location, scale, *bounds


FAMILIES = [
    (gamma, gamma_point), (inverse_gamma, gamma_point), (beta, beta_point), (log_beta, log_beta_point),
    (poisson, poisson_point), (binomial, binomial_point), (binomial_logits, binomial_logits_point),
    (negative_binomial, negative_binomial_point), (negative_binomial_logits, negative_binomial_logits_point),
    (negative_binomial_mean, negative_binomial_mean_point), (student_t, student_t_point), (cauchy, located_point),
    (laplace, located_point), (uniform, uniform_point), (truncated_normal, truncated_normal_point),
]


def written(number):
    """With 12 digits: more than the error of a float shows."""
    return float(mp.nstr(number, 12)) if abs(number) < mpf(10) ** 300 else None


def main():
    table = {}
    for family, point in FAMILIES:
        rows = []
        while len(rows) < POINTS:
            operands = point()
            value, slopes = family(*(mpf(x) for x in operands))
            numbers = [value] + slopes
            # What leaves the range of floats is tested elsewhere.
            if all(abs(x) < 3e38 and (x == 0 or abs(x) > 1e-37) for x in numbers):
                shown = [str(x) if abs(x) == INFINITY else x for x in operands]
                rows.append({"operands": shown, "value": written(value), "slopes": [written(x) for x in slopes]})
        table[family.__name__] = rows
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../CoixTests/Golden/accuracy.json")
    with open(path, "w") as file:
        json.dump(table, file, separators=(",", ":"))


main()
