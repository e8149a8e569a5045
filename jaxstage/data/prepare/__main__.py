"""`python -m jaxstage.data.prepare`: the same as `jaxstage prepare`."""

from jaxstage import cli

if __name__ == "__main__":
    cli.main(command=cli.prepare, name="python -m jaxstage.data.prepare")
