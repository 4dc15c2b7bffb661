"""A variational autoencoder on the reference: row i of the data goes to particle i."""

from ._reference import called, coix, loss, particles, weights

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from flax import linen as nn


class MLP(nn.Module):
    """One hidden layer, with relu."""

    hidden: int
    outputs: int

    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Dense(self.hidden)(x))
        return nn.Dense(self.outputs)(x)


class Autoencoder:
    """Points of a width, a hidden layer in either direction, and codes of a width."""

    def __init__(self, points, hidden, codes):
        self.points, self.codes = points, codes
        self.encode, self.decode = MLP(hidden, codes), MLP(hidden, points)

    def initial_parameters(self, seed=0):
        encoder_key, decoder_key = jax.random.split(jax.random.PRNGKey(seed))
        return {"encoder": self.encode.init(encoder_key, jnp.zeros(self.points)),
                "decoder": self.decode.init(decoder_key, jnp.zeros(self.codes))}

    def prior(self, params, x):
        z = numpyro.sample("z", dist.Normal(0, 1).expand((self.codes,)).to_event(1))
        return params, z, x

    def decoder(self, params, z, x):
        mean = self.decode.apply(params["decoder"], z)
        numpyro.sample("x", dist.Normal(mean, 1.0).to_event(1), obs=x)
        return mean

    def encoder(self, params, x):
        mean = self.encode.apply(params["encoder"], x)
        return numpyro.sample("z", dist.Normal(mean, 0.01).to_event(1))

    def inference(self, count, loss=None):
        plated = particles(count)
        target = plated(coix.compose(self.decoder, self.prior, suffix=False))
        return coix.propose(target, plated(self.encoder), loss_fn=loss)

    def forward(self, data):
        """A closure that evaluates the inference program once and gives its metrics."""
        program = self.inference(len(data))
        return called(lambda key, *inputs: weights(program, key, *inputs),
                      jax.random.PRNGKey(0), self.initial_parameters(), data)

    def value_and_gradient(self, count):
        program = self.inference(count, coix.loss.elbo_loss)
        return jax.value_and_grad(lambda params, key, data: loss(program, key, params, data))

    def gradient(self, data):
        """A closure that gives the ELBO loss and its gradient by both networks' parameters."""
        return called(self.value_and_gradient(len(data)), self.initial_parameters(), jax.random.PRNGKey(0), data)
