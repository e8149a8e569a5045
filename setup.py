from setuptools import find_packages, setup

setup(
    # configs/ stays at the top, where people look for it, and travels in the wheel as jaxstage/configs/.
    packages=[*find_packages(include=["jaxstage*"]), "jaxstage.configs"],
    package_dir={"jaxstage.configs": "configs"},
)
