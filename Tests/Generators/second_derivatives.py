"""The second derivatives that JAXSecondDerivativeTests compares with. Needs jax 0.10.2."""

import jax
import jax.numpy as jnp
from jax.scipy import special, stats

jax.config.update("jax_enable_x64", True)

POINTS = (0.3, 0.7)
FUNCTIONS = {
    "exp": jnp.exp, "expm1": jnp.expm1, "log": jnp.log, "log1p": jnp.log1p, "sqrt": jnp.sqrt,
    "tanh": jnp.tanh, "sigmoid": jax.nn.sigmoid, "softplus": jax.nn.softplus, "squared": jnp.square,
    "reciprocal": lambda x: 1 / x, "sin": jnp.sin, "cos": jnp.cos, "logGamma": special.gammaln,
    "erfInverse": special.erfinv, "normalCDF": stats.norm.cdf, "logNormalCDF": stats.norm.logcdf,
    "normalQuantile": stats.norm.ppf, "power": lambda x: x**2.5, "selfPower": lambda x: x**x,
}
print("functions:")
for name, function in FUNCTIONS.items():
    values = [float(jax.grad(jax.grad(function))(x)) for x in POINTS]
    print(f'    "{name}": {values},')

DENSITIES = {
    "normal": (stats.norm.logpdf, (0.4, -0.3, 1.7)),
    "gamma": (lambda x, a, b: a * jnp.log(b) - special.gammaln(a) + (a - 1) * jnp.log(x) - b * x, (0.8, 2.5, 1.7)),
    "inverseGamma": (
        lambda x, a, b: a * jnp.log(b) - special.gammaln(a) - (a + 1) * jnp.log(x) - b / x, (0.8, 2.5, 1.7)),
    "beta": (stats.beta.logpdf, (0.3, 2.5, 1.7)),
    "studentT": (stats.t.logpdf, (0.8, 3.5, 0.2, 1.7)),
    "cauchy": (stats.cauchy.logpdf, (0.8, 0.2, 1.7)),
    "halfCauchy": (lambda x, s: jnp.log(2) + stats.cauchy.logpdf(x, 0.0, s), (0.8, 1.7)),
    "weibull": (
        lambda x, s, k: jnp.log(k / s) + (k - 1) * jnp.log(x / s) - (x / s) ** k, (0.8, 1.7, 2.5)),
    "laplace": (stats.laplace.logpdf, (0.8, 0.2, 1.7)),
    "truncatedNormal": (
        lambda x, m, s, low, high: stats.norm.logpdf(x, m, s)
        - jnp.log(stats.norm.cdf(high, m, s) - stats.norm.cdf(low, m, s)), (0.8, 0.2, 1.7, -0.5, 2.0)),
    "poisson": (lambda k, r: k * jnp.log(r) - r - special.gammaln(k + 1), (3.0, 1.7)),
    "binomial": (
        lambda k, n, p: special.gammaln(n + 1) - special.gammaln(k + 1) - special.gammaln(n - k + 1)
        + k * jnp.log(p) + (n - k) * jnp.log1p(-p), (3.0, 7.0, 0.3)),
    "negativeBinomial": (
        lambda k, r, p: special.gammaln(k + r) - special.gammaln(k + 1) - special.gammaln(r)
        + r * jnp.log1p(-p) + k * jnp.log(p), (3.0, 2.5, 0.3)),
    "negativeBinomialMean": (
        lambda k, c, m: special.gammaln(k + c) - special.gammaln(k + 1) - special.gammaln(c)
        + c * jnp.log(c / (c + m)) + k * jnp.log(m / (c + m)), (3.0, 2.5, 1.7)),
    "logBeta": (special.betaln, (0.8, 2.5)),
}
print("densities, row by row:")
for name, (density, operands) in DENSITIES.items():
    hessian = jax.hessian(lambda x: density(*x))(jnp.array(operands))
    print(f'    "{name}": ({list(operands)}, {[float(x) for x in hessian.ravel()]}),')

VECTORS = {
    "dirichlet": (
        lambda x, a: ((a - 1) * jnp.log(x) - special.gammaln(a)).sum() + special.gammaln(a.sum()),
        (0.2, 0.5, 0.3), (1.5, 0.7, 2.5)),
    "multinomialLogits": (
        lambda x, a: (x * jax.nn.log_softmax(a)).sum(), (2.0, 1.0, 3.0), (0.5, -0.3, 1.2)),
}
print("vector densities in the parameter, row by row:")
for name, (density, value, parameter) in VECTORS.items():
    hessian = jax.hessian(lambda a: density(jnp.array(value), a))(jnp.array(parameter))
    print(f'    "{name}": ({list(value)}, {list(parameter)}, {[float(x) for x in hessian.ravel()]}),')

kernel = jnp.array([[0.5, -0.3, 0.8], [0.2, 0.9, -0.6]])
x, v = jnp.array([0.7, -1.1]), jnp.array([0.4, 0.3])
network = lambda x: special.logsumexp(jnp.tanh(x @ kernel)) ** 2
print("product of a network's Hessian and a vector:", jax.jvp(jax.grad(network), (x,), (v,))[1])
matrix = jnp.array([[2.0, 0.3], [0.3, 1.5]])


def gaussian(s):
    m = matrix + s * jnp.array([[0.5, 0.2], [0.2, -0.1]])
    factor = jnp.linalg.cholesky(m)
    z = jax.scipy.linalg.solve_triangular(factor, jnp.array([0.6, -0.9]), lower=True)
    return -0.5 * (z**2).sum() - jnp.log(jnp.diagonal(factor)).sum()


print("a Gaussian along its covariance:", jax.grad(jax.grad(gaussian))(0.4))
