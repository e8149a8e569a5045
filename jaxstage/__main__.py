"""`python -m jaxstage`, and the command `jaxstage`, which begins here, too."""

from jaxstage.devices.signals import tell_and_end


def main(name: str = "jaxstage") -> None:
    tell_and_end()  # before the imports, which take a while
    from jaxstage import cli

    cli.main(name=name)


if __name__ == "__main__":
    main("python -m jaxstage")
