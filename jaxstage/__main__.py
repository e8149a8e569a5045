"""`python -m jaxstage`: the same as the command `jaxstage`."""

from jaxstage.cli import main

if __name__ == "__main__":
    main(name="python -m jaxstage")
