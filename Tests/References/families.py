"""Writes ../CoixTests/Golden/families.json: densities, draws and gradients of further families, by NumPyro 0.22.0 with JAX 0.10.2 on a CPU.

    pip install jax==0.10.2 numpyro==0.22.0 mpmath
    python families.py > ../CoixTests/Golden/families.json

The format is that of the other files there. Densities and their gradients are computed in double precision, at parameters and values that
are floats, and at the extremes in 80-digit arithmetic by mpmath; draws in single precision. Binomial draws with a mean of 10 or more are those of `binomial` below, since NumPyro's have a
wrong sign; see there.
"""

import json
import math
import sys

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import numpyro.distributions as dist
from jax import random


def families(dimension):
    return {
        "HalfCauchy": dist.HalfCauchy,
        "Weibull": dist.Weibull,
        "InverseGamma": dist.InverseGamma,
        "VonMises": dist.VonMises,
        "BinomialProbs": dist.BinomialProbs,
        "BinomialLogits": dist.BinomialLogits,
        "NegativeBinomial2": dist.NegativeBinomial2,
        "NegativeBinomialProbs": dist.NegativeBinomialProbs,
        "NegativeBinomialLogits": dist.NegativeBinomialLogits,
        "LKJCholesky": lambda concentration, **k: dist.LKJCholesky(dimension, concentration, **k),
        "LKJ": lambda concentration, **k: dist.LKJ(dimension, concentration, **k),
    }


def tail(k):
    """What Stirling's formula for log k! leaves."""
    return math.lgamma(k + 1) - (k + 0.5) * math.log(k + 1) + (k + 1) - 0.5 * math.log(2 * math.pi)


def binomial(key, n, p):
    """One count by W. Hörmann's BTRS ("The generation of binomial random variates", 1993), with NumPyro's keys and proposals.

    NumPyro accepts by `+ tail(k)` where Hörmann has `- tail(k)`, and in single precision.
    """
    f = np.float32
    n, p = f(n), f(p)
    q = p if p <= 0.5 else f(1) - p
    mean = n * q
    assert mean >= 10
    deviation = np.sqrt(mean * (f(1) - q))
    c, b = mean + f(0.5), f(1.15) + f(2.53) * deviation
    a = f(-0.0873) + f(0.0248) * b + f(0.01) * q
    alpha, squeeze = (f(2.83) + f(5.1) / b) * deviation, f(0.92) - f(4.2) / b
    m = math.floor((n + f(1)) * q)
    n, odds = int(n), float(q) / (1 - float(q))
    h = (m + 0.5) * math.log((m + 1) / ((n - m + 1) * odds)) + tail(m) + tail(n - m)
    while True:
        key, key_u, key_v = random.split(key, 3)
        u, v = np.asarray(random.uniform(key_u)) - f(0.5), np.asarray(random.uniform(key_v))
        k = int(np.floor((f(2) * a / (f(0.5) - abs(u)) + b) * u + c))
        if abs(u) <= f(0.43) and v <= squeeze:
            break
        if k < 0 or k > n:
            continue
        ratio = (n + 1) * math.log((n - m + 1) / (n - k + 1)) + (k + 0.5) * math.log((n - k + 1) * odds / (k + 1))
        bound = float(v) * float(alpha) / (float(a) / (0.5 - abs(float(u))) ** 2 + float(b))
        if math.log(bound) <= ratio - tail(k) - tail(n - k) + h:
            break
    return k if p <= 0.5 else n - k


def tensor(x):
    x = np.asarray(x)
    if x.dtype == np.uint32:
        return {"dtype": "uint32", "shape": list(x.shape), "data": [int(v) for v in x.reshape(-1)]}
    x = x.astype(np.float32)
    return {"dtype": "float32", "shape": list(x.shape), "data": [float(str(v)) for v in x.reshape(-1)]}


cases = []


def named(name):
    digits = name.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") if name.startswith("LKJ") else ""
    dimension = int(digits) if digits else 0
    return families(dimension)[name.removesuffix(digits) if digits else name]


def log_prob(label, name, value, gradients, **parameters):
    make = named(name)
    parameters = {k: np.asarray(v, np.float32) for k, v in parameters.items()}
    value = np.asarray(value, np.float32)
    with jax.enable_x64(True):
        wide = {k: jnp.asarray(v, jnp.float64) for k, v in parameters.items()}
        wide["value"] = jnp.asarray(value, jnp.float64)

        def density(tracked):
            everything = {**wide, **tracked}
            x = everything.pop("value")
            return make(**everything, validate_args=False).log_prob(x)

        tracked = {k: wide[k] for k in gradients}
        expected = {"log_prob": tensor(density(tracked))}
        for k, g in jax.grad(lambda t: density(t).sum())(tracked).items():
            expected["grad." + k] = tensor(g)
    inputs = {**parameters, "value": value}
    cases.append({
        "name": f"log_prob/{name}/{label}", "seed": None, "op": "log_prob", "distribution": name, "steps": [],
        "inputs": {k: tensor(v) for k, v in inputs.items()}, "expected": expected})


mp.mp.dps = 80


def loggamma(x):
    """By Stirling's series above 100 (mpmath would multiply up factorials of whole numbers)."""
    below = mp.mpf(0)
    while x < 100:
        below += mp.log(x)
        x += 1
    series = sum(mp.bernoulli(2 * k) / (2 * k * (2 * k - 1) * x ** (2 * k - 1)) for k in range(1, 60))
    return (x - 0.5) * mp.log(x) - x + mp.log(2 * mp.pi) / 2 + series - below


def choose(n, k):
    return loggamma(n + 1) - loggamma(k + 1) - loggamma(n - k + 1)


def log_bessel(x):
    """log I0(x), beyond the reach of `besseli` by its asymptotic series."""
    if x < 1e4:
        return mp.log(mp.besseli(0, x))
    term, total = mp.mpf(1), mp.mpf(1)
    for k in range(1, 12):
        term *= (2 * k - 1) ** 2 / (8 * x * k)
        total += term
    return x - mp.log(2 * mp.pi * x) / 2 + mp.log(total)


def softplus(x):
    return mp.log(1 + mp.exp(x))


def negative_binomial(k, r, log_p, log_rest):
    return loggamma(k + r) - loggamma(k + 1) - loggamma(r) + k * log_p + r * log_rest


# Of value and parameters, in NumPyro's order of names.
formulas = {
    "HalfCauchy": lambda x, scale: mp.log(2 / mp.pi) - mp.log(scale) - mp.log1p((x / scale) ** 2),
    "Weibull": lambda x, concentration, scale: mp.log(concentration) - mp.log(x)
    + concentration * mp.log(x / scale) - mp.exp(concentration * mp.log(x / scale)),
    "InverseGamma": lambda x, concentration, rate: concentration * mp.log(rate) - loggamma(concentration)
    - (concentration + 1) * mp.log(x) - rate / x,
    "VonMises": lambda x, concentration, loc: concentration * mp.cos(x - loc) - mp.log(2 * mp.pi) - log_bessel(concentration),
    "BinomialProbs": lambda k, probs, total_count: choose(total_count, k) + k * mp.log(probs)
    + (total_count - k) * mp.log1p(-probs),
    "BinomialLogits": lambda k, logits, total_count: choose(total_count, k) - k * softplus(-logits)
    - (total_count - k) * softplus(logits),
    "NegativeBinomial2": lambda k, concentration, mean: negative_binomial(
        k, concentration, mp.log(mean / (mean + concentration)), -mp.log1p(mean / concentration)),
    "NegativeBinomialProbs": lambda k, probs, total_count: negative_binomial(
        k, total_count, mp.log(probs), mp.log1p(-probs)),
    "NegativeBinomialLogits": lambda k, logits, total_count: negative_binomial(
        k, total_count, -softplus(-logits), -softplus(logits)),
}


def extreme(name, value, gradients, **parameters):
    """Log-density and gradients, each value with its own parameters."""
    names = ["value"] + sorted(parameters)
    columns = {k: np.asarray(v, np.float32).reshape(-1) for k, v in {**parameters, "value": value}.items()}
    expected = {"log_prob": [], **{"grad." + k: [] for k in gradients}}
    for row in range(columns["value"].size):
        point = [mp.mpf(float(columns[k][row])) for k in names]
        expected["log_prob"].append(float(formulas[name](*point)))
        for k in gradients:
            i = names.index(k)

            def along(t):
                return formulas[name](*point[:i], t, *point[i + 1:])

            # Twelve of the eighty digits go into the step.
            step = (abs(point[i]) or 1) * mp.mpf(10) ** -12
            expected["grad." + k].append(float((along(point[i] + step) - along(point[i] - step)) / (2 * step)))
    cases.append({
        "name": f"log_prob/{name}/extreme", "seed": None, "op": "log_prob", "distribution": name, "steps": [],
        "inputs": {k: tensor(v) for k, v in columns.items()}, "expected": {k: tensor(v) for k, v in expected.items()}})


def sample(label, name, seed, gradients, sample_shape=(), expand=None, **parameters):
    make = named(name)
    parameters = {k: np.asarray(v, np.float32) for k, v in parameters.items()}
    key = random.PRNGKey(seed)

    def draw(tracked):
        whole = {"total_count": parameters["total_count"].astype(np.int32)} if name.startswith("Binomial") else {}
        d = make(**{**parameters, **whole, **tracked})
        return (d if expand is None else d.expand(expand)).sample(key, sample_shape)

    tracked = {k: jnp.asarray(parameters[k]) for k in gradients}
    found = np.asarray(draw(tracked))
    if name == "BinomialProbs":
        keys = random.split(key, found.size)
        n, p = (np.broadcast_to(parameters[k], found.shape).reshape(-1) for k in ("total_count", "probs"))
        flat = found.reshape(-1).astype(np.float64)
        right = np.array([
            binomial(keys[i], n[i], p[i]) if n[i] * min(p[i], 1 - p[i]) >= 10 else flat[i] for i in range(flat.size)])
        print(name, label, "others than NumPyro's:", int((right != flat).sum()), "of", flat.size, file=sys.stderr)
        found = right.reshape(found.shape)
    expected = {"sample": tensor(found)}
    if gradients:
        for k, g in jax.grad(lambda t: draw(t).sum())(tracked).items():
            expected["grad." + k] = tensor(g)
    inputs = {"key": np.asarray(key), **parameters}
    cases.append({
        "name": f"sample/{name}/{label}", "seed": seed, "op": "sample", "distribution": name,
        "steps": [] if expand is None else [["expand", list(expand)]], "sample_shape": list(sample_shape),
        "inputs": {k: tensor(v) for k, v in inputs.items()}, "expected": expected})


scales, shapes = [0.3, 1, 2.5, 40], [0.4, 1, 2.5, 7]
positive = np.outer([0.2, 1, 3], [0.5, 1, 2, 30])
log_prob("batch", "HalfCauchy", positive, ["value", "scale"], scale=scales)
log_prob("batch", "Weibull", positive, ["value", "scale", "concentration"], scale=scales, concentration=shapes)
log_prob("batch", "InverseGamma", positive, ["value", "concentration", "rate"], concentration=shapes, rate=scales)
angles = [[-3.1, -1, 0, 2], [0.5, 3.1, 1, -2.5]]
log_prob("batch", "VonMises", angles, ["value", "loc", "concentration"], loc=[0, 2, -7, 20], concentration=[0.1, 1, 7, 300])
counts = [[0, 1, 3, 20], [2, 0, 10, 50]]
for name, parameter in [("Probs", {"probs": [0.3, 0.01, 0.9, 0.5]}), ("Logits", {"logits": [-1, 0.5, 4, -0.3]})]:
    log_prob("batch", "Binomial" + name, counts, list(parameter), total_count=[5, 1, 10, 80], **parameter)
    log_prob("batch", "NegativeBinomial" + name, counts, ["total_count", *parameter], total_count=shapes, **parameter)
log_prob("batch", "NegativeBinomial2", counts, ["mean", "concentration"], mean=scales, concentration=shapes)
for dimension in (2, 3, 5):
    eta = np.array([0.5, 3], np.float32)
    factors = dist.LKJCholesky(dimension, eta).sample(random.PRNGKey(dimension), (3,))
    log_prob("batch", f"LKJCholesky{dimension}", factors, ["value", "concentration"], concentration=eta)
    matrices = np.asarray(factors) @ np.swapaxes(factors, -1, -2)
    matrices = np.where(np.eye(dimension), 1, (matrices + np.swapaxes(matrices, -1, -2)) / 2)
    log_prob("batch", f"LKJ{dimension}", matrices, ["value", "concentration"], concentration=eta)

extreme("HalfCauchy", [1e30, 1, 1e-30, 3e38, 2e-38], ["value", "scale"], scale=[1, 1e-20, 1e20, 1e38, 1e-38])
extreme("Weibull", [1, 1e-30, 3, 1e30, 1.0001, 1e-38], ["scale", "concentration"],
        scale=[1.000001, 1, 2, 1e-5, 1, 1e38], concentration=[1e6, 0.01, 50, 0.1, 1e4, 0.02])
extreme("InverseGamma", [1, 1e30, 1e-5, 1e30, 2e-30], ["concentration", "rate"],
        concentration=[1e7, 1e-3, 1e5, 0.5, 1e30], rate=[1e7, 1, 1, 1e-20, 2])
extreme("VonMises", [1e-4, 0, 3, -3, 1], ["value", "loc", "concentration"], loc=[0, 0, 3, 3, 1], concentration=[1e7, 1e30, 0, 50, 1e-20])
extreme("BinomialProbs", [3e6, 3001000, 0, 1e7, 1, 8388608], ["probs"], total_count=[1e7, 1e7, 1e7, 1e7, 16777216, 16777216],
        probs=[0.3, 0.3, 1e-7, 0.9999999, 1e-7, 0.5])
extreme("BinomialLogits", [3e6, 0, 1, 3, 5], ["logits"], total_count=[1e7, 3, 3, 3, 1e7], logits=[-0.8, -200, -200, 200, -80])
extreme("NegativeBinomial2", [3, 1e7, 0, 5, 0, 1, 100], ["mean", "concentration"],
        mean=[5, 1e7, 1, 1, 1e-30, 1e-30, 1e6], concentration=[1e30, 1e7, 1e-10, 1e-10, 1, 1e10, 3])
extreme("NegativeBinomialProbs", [3e6, 1, 0, 1e6], ["total_count", "probs"], total_count=[7e6, 1e10, 1, 1e-3], probs=[0.3, 1e-10, 0.9999999, 0.999])
extreme("NegativeBinomialLogits", [3e6, 0, 1, 2], ["total_count", "logits"], total_count=[7e6, 2, 2, 1e9], logits=[-0.8, 100, -100, -20])

for label, seed, how in [("batch", 0, {}), ("shape", 1, {"sample_shape": (3,)}), ("expand", 2, {"expand": (5, 4)})]:
    sample(label, "HalfCauchy", seed, ["scale"], scale=scales, **how)
    sample(label, "Weibull", seed, ["scale", "concentration"], scale=scales, concentration=shapes, **how)
    sample(label, "InverseGamma", seed, ["concentration", "rate"], concentration=shapes, rate=scales, **how)
    sample(label, "BinomialProbs", seed, [], total_count=[5, 30, 100, 1000], probs=[0.3, 0.01, 0.9, 0.5], **how)
    sample(label, "BinomialLogits", seed, [], total_count=[5, 20, 10, 100], logits=[-1, 0.5, 4, -3], **how)
    for dimension in (2, 3, 5):
        sample(label, f"LKJCholesky{dimension}", seed, ["concentration"], concentration=shapes, **how)
        sample(label, f"LKJ{dimension}", seed, ["concentration"], concentration=shapes, **how)
    # Counts of rates below 10, whose draws in a plate are those outside of it.
    sample(label, "NegativeBinomial2", seed, [], mean=[0.3, 1, 2.5, 3], concentration=[0.4, 2, 9, 1e6], **how)
    sample(label, "NegativeBinomialProbs", seed, [], total_count=shapes, probs=[0.3, 0.01, 0.5, 0.2], **how)
    sample(label, "NegativeBinomialLogits", seed, [], total_count=shapes, logits=[-1, 0.5, -0.1, -2], **how)
    if "sample_shape" not in how:  # In a plate the sign is another.
        sample(label, "VonMises", seed, ["loc"], loc=[0, 2, -7, 20], concentration=[0.1, 1, 7, 300], **how)
sample("large rates", "NegativeBinomial2", 3, [], mean=[30, 100, 15], concentration=[50, 2, 1e5])

json.dump({
    "group": "families", "versions": {"jax": jax.__version__, "numpyro": "0.22.0", "platform": "cpu"},
    "cases": cases}, sys.stdout, separators=(",", ":"))
print()
