"""What a wheel is made of: a CycloneDX document in JSON beside each, checked against its schema.

    python tools/wheels/sbom.py dist/*.whl

Needs `pip install "cyclonedx-python-lib[json-validation]"`. It lists the wheel with its hash; what
is in it that others made (pybind11's headers, compiled into _C; the data that the embedded models
learnt from); and what it asks pip to install beside it, as it asks for it: which release that
becomes is decided where it is installed.
"""

import argparse
import zipfile
from email.parser import Parser
from pathlib import Path

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentScope, ComponentType
from cyclonedx.model.license import DisjunctiveLicense
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

from index import sha256
from matrix import WheelName

VERSION = SchemaVersion.V1_6
MODELS = {
    "demo/digits": "Optical Recognition of Handwritten Digits (UCI), as scikit-learn ships it",
    "demo/pictures": "seven of the pictures that scikit-image and scikit-learn ship",
}


def library(name: str, **more: object) -> Component:
    """A package of PyPI's."""
    return Component(
        name=name,
        type=ComponentType.LIBRARY,
        bom_ref=name,
        purl=PackageURL("pypi", name=name),
        **more,
    )


def requirements(wheel: Path) -> list[str]:
    """What a wheel needs, without its extras."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(each for each in archive.namelist() if each.endswith(".dist-info/METADATA"))
        metadata = Parser().parsestr(archive.read(name).decode())
    return [each for each in metadata.get_all("Requires-Dist", []) if "extra ==" not in each]


def describe(wheel: Path) -> Bom:
    """The document of one wheel."""
    name = WheelName.of(wheel)
    version = f"{name.version}+{name.variant}"
    whole = Component(
        name="clusca_ext",
        bom_ref=wheel.name,
        type=ComponentType.LIBRARY,
        version=version,
        purl=PackageURL("pypi", name="clusca-ext", version=version),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=sha256(wheel))],
        licenses=[DisjunctiveLicense(id="Apache-2.0")],
        properties=[Property(name="clusca_ext:file", value=wheel.name)],
    )
    inside = [
        library(
            "pybind11",
            description="headers, compiled into _C",
            licenses=[DisjunctiveLicense(id="BSD-3-Clause")],
        )
    ]
    inside += [
        Component(
            name=folder,
            bom_ref=folder,
            type=ComponentType.MACHINE_LEARNING_MODEL,
            description=data,
        )
        for folder, data in MODELS.items()
    ]
    beside = [
        library(
            requirement.partition(">=")[0],
            scope=ComponentScope.REQUIRED,
            description="installed beside the wheel",
            properties=[Property(name="clusca_ext:requirement", value=requirement)],
        )
        for requirement in requirements(wheel)
    ]
    bom = Bom(components=[*inside, *beside])
    bom.metadata.component = whole
    bom.register_dependency(whole, [*inside, *beside])
    return bom


def write(wheel: Path) -> Path:
    """Write the document beside the wheel.

    Raises:
        ValueError: The document does not fit CycloneDX's schema.
    """
    text = make_outputter(describe(wheel), OutputFormat.JSON, VERSION).output_as_string(indent=2)
    if error := JsonStrictValidator(VERSION).validate_str(text):
        raise ValueError(f"the document of {wheel.name} does not fit the schema: {error}")
    path = wheel.with_name(f"{wheel.name}.cdx.json")
    path.write_text(text + "\n")
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheels", type=Path, nargs="+")
    for wheel in parser.parse_args().wheels:
        print(write(wheel))


if __name__ == "__main__":
    main()
