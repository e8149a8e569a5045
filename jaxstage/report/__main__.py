"""`python -m jaxstage.report`: the same as `jaxstage report`."""

from jaxstage import cli

if __name__ == "__main__":
    cli.main(command=cli.report, name="python -m jaxstage.report")
