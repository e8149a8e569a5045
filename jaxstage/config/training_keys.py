"""The keys of the table in keys.py that say how networks are trained: the optimizer, and how long at which rate."""

from jaxstage.config.key import ABOVE_0, AT_LEAST_1, BELOW_1, NOT_NEGATIVE, Check, Key

SCHEDULES = ("constant", "cosine", "step")


def _training(section: str, epochs: int, schedule: str) -> dict[str, Key]:
    return {
        f"{section}.epochs": Key(epochs, "passes over the training data", check=AT_LEAST_1, most=100_000),
        f"{section}.schedule": Key(schedule, "of the learning rate, after the warm-up", choices=SCHEDULES),
        f"{section}.warmup_epochs": Key(
            0.5, "over which the rate rises, ten steps at least; 0: not at all", check=NOT_NEGATIVE
        ),
        f"{section}.drop_epochs": Key(
            (),
            "schedule step: the rate falls by drop_factor at these epochs",
            check=Check(lambda value: all(epoch > 0 for epoch in value), "give epochs greater than 0, like (30, 60)"),
            items=float,
        ),
        f"{section}.drop_factor": Key(0.1, check=ABOVE_0),
    }


TRAINING: dict[str, Key] = {
    "optimizer.learning_rate": Key(0.1, "after the warm-up", check=ABOVE_0),
    "optimizer.momentum": Key(0.9, check=BELOW_1),
    "optimizer.nesterov": Key(True),
    "optimizer.weight_decay": Key(
        5e-4, "not on BatchNorm and biases; half of it is the factor of Keras's L2", check=NOT_NEGATIVE
    ),
    "optimizer.decay_head": Key(True, "whether the last, dense layer decays too"),
    "optimizer.time_decay": Key(
        0.0, "the rate is divided by 1 + time_decay * step, Keras's `decay`", check=NOT_NEGATIVE
    ),
    "optimizer.label_smoothing": Key(0.0, "share of the target that is spread over all classes", check=BELOW_1),
    "optimizer.clip": Key(
        None,
        "gradients whose norm over all parameters is larger are scaled down to it; None: never",
        optional=float,
        check=ABOVE_0,
    ),
    "optimizer.ema": Key(
        0.0,
        "Share of the old value in running averages of all weights, 0.99 for example, which are what is validated, read "
        "and handed over; what inherits goes on from the weights themselves. 0: no averages.",
        check=BELOW_1,
    ),
    **_training("candidate", epochs=10, schedule="constant"),
    **_training("final", epochs=100, schedule="cosine"),
    "final.patience": Key(
        None,
        "Training ends after so many epochs without a better validation accuracy (of equal ones the lower loss is better), "
        "and the best epoch's weights are handed over. None: it does not, and the last ones are.",
        optional=int,
        check=AT_LEAST_1,
    ),
}
