"""What a search may have to compute before it can decide anything else."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Train:
    """Train a candidate and evaluate it on the validation split."""

    name: str


@dataclass(frozen=True)
class Score:
    """Measure the importance of a candidate's stages."""

    name: str


@dataclass(frozen=True)
class Read:
    """Look at the states of an elastic network."""

    name: str


@dataclass(frozen=True)
class Finish:
    """Evaluate the final network on the test split and write the artefacts."""


Action = Train | Score | Read | Finish
