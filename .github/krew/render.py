#!/usr/bin/env python3
"""Writes the krew manifest of a release to the standard output.

    render.py VERSION HOMEPAGE DOWNLOADS SHA256SUMS

DOWNLOADS is the address under which the archives of the release are; SHA256SUMS names each with its checksum, as
sha256sum writes it.
"""

import pathlib
import re
import sys

TEMPLATE = pathlib.Path(__file__).with_name("failback.yaml.tmpl")
ARCHIVE = re.compile(r"kubectl-failback_(?P<version>v[^_]+)_(?P<os>[a-z]+)_(?P<arch>[a-z0-9]+)\.(?:tar\.gz|zip)")
PLATFORM = """    - selector:
        matchLabels:
          os: {os}
          arch: {arch}
      uri: {downloads}/{archive}
      sha256: "{checksum}"
      bin: {binary}
      files:
        - from: {binary}
          to: .
        - from: LICENSE
          to: .
"""


def render(version, homepage, downloads, sums):
    if not re.fullmatch(r"v\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?", version):
        sys.exit(f"{version}: a version such as v1.2.3 is expected")
    text = TEMPLATE.read_text().replace("{version}", version).replace("{homepage}", homepage)
    platforms = []
    for line in sums.splitlines():
        found = re.fullmatch(r"([0-9a-f]{64}) [ *](\S+)", line)
        if not found:
            sys.exit(f"no checksum: {line}")
        archive = ARCHIVE.fullmatch(found[2])
        if not archive:
            continue  # an SBOM, or the image's
        if archive["version"] != version:
            sys.exit(f"{found[2]} is not of {version}")
        binary = "kubectl-failback.exe" if archive["os"] == "windows" else "kubectl-failback"
        platforms.append(PLATFORM.format(
            os=archive["os"], arch=archive["arch"], downloads=downloads, archive=found[2], checksum=found[1], binary=binary))
    if not platforms:
        sys.exit("the checksums name no archive")
    return text + "".join(sorted(platforms))


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    *words, sums = sys.argv[1:]
    sys.stdout.write(render(*words, pathlib.Path(sums).read_text()))
