#!/usr/bin/env bash
# A parameter that takes a class to be called later or a list of such, Callable[[int], Layer] | list[Callable[[int],
# Layer]], parses and builds; but dump, and so the config.yaml that LightningCLI saves, holds the text of an error in
# place of the list. With the two types the other way round it is right.
#
# Version: jsonargparse 4.53.0.
# Input: a list of one class with an option, for a union of the callable type and the list of it.
# Seen: dump writes "Unable to serialize instance [Namespace(...)]" as the value, with a warning, and parse refuses what
#   dump wrote; the run that was configured so works and can't be repeated from its saved configuration. With the list
#   first in the union, what dump writes is parsed to the same configuration.
# Expected: the same from either order, or an error at parsing.
# Output seen:
#   callable first: network: {layers: Unable to serialize instance ...}
#   parsed again: no
#   list first: network: {layers: [{class_path: __main__.Layer, init_args: {taps: 5}}]}
#   parsed again: yes
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet jsonargparse==4.53.0 pyyaml==6.0.3
cat > "$place/dumps.py" <<'PYTHON'
import warnings
from collections.abc import Callable

import jsonargparse
import yaml

warnings.simplefilter("ignore")


class Layer:
    def __init__(self, width: int, taps: int = 3):
        self.width, self.taps = width, taps


Make = Callable[[int], Layer]


def parser_of(kind):
    class Network:
        def __init__(self, layers: kind):
            self.layers = layers

    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(Network, "network")
    return parser


for name, kind in (("callable first", Make | list[Make]), ("list first", list[Make] | Make)):
    parser = parser_of(kind)
    config = parser.parse_args(["--network.layers=[{class_path: __main__.Layer, init_args: {taps: 5}}]"])
    text = parser.dump(config)
    shown = yaml.safe_load(text)
    if isinstance(shown["network"]["layers"], str):
        shown["network"]["layers"] = shown["network"]["layers"].partition(" [")[0] + " ..."
    print(f"{name}: {yaml.safe_dump(shown, default_flow_style=True, width=1000).strip()[1:-1]}")
    try:
        again = parser.parse_string(text) == config
    except Exception:
        again = False
    print("parsed again:", "yes" if again else "no")
PYTHON
"$place/venv/bin/python" "$place/dumps.py" > "$place/seen"
cat "$place/seen"
diff "$place/seen" - <<'SEEN'
callable first: network: {layers: Unable to serialize instance ...}
parsed again: no
list first: network: {layers: [{class_path: __main__.Layer, init_args: {taps: 5}}]}
parsed again: yes
SEEN
