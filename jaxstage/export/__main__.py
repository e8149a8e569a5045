"""`python -m jaxstage.export`: the same as `jaxstage export`."""

from jaxstage import cli

if __name__ == "__main__":
    cli.main(command=cli.export, name="python -m jaxstage.export")
