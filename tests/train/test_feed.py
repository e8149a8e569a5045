"""The order in which a training run sees its examples."""

import jax
import numpy as np

from jaxstage.train.feed import epoch_order


def test_an_epoch_shows_every_copy():
    order = np.asarray(epoch_order(jax.random.key(0), size=10, copies=3))
    assert (np.bincount(order, minlength=10) == 3).all()
    assert len(set(order[:10].tolist())) < 10  # the copies are mixed, not one after the other
