"""YAML as kubectl reads it, so that no word means one thing here and another in a cluster.

kubectl turns a manifest into JSON by a go-yaml of version 2 (sigs.k8s.io/yaml: goyaml.v2/resolve.go, yaml.go). That is
neither YAML 1.1, as PyYAML has it, nor 1.2: `y` and `off` are truth values, `1e-1`, `017` and `08` are numbers, `1:30`
and `2026-01-01` are texts, and a number without a fraction is an integer, however it is written.

Two differences are on purpose, and are errors here: a key that is given twice, of which kubectl keeps one, and a tag
beyond those of JSON (`!!binary`, `!!set`, `!own`), which it reads over.
"""

from __future__ import annotations

import math
import re
from collections.abc import Hashable
from typing import Any, Literal

import yaml
from yaml.constructor import ConstructorError, SafeConstructor

_TRUE = frozenset(["y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"])
_FALSE = frozenset(["n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"])
_NULL = frozenset(("", "~", "null", "Null", "NULL"))
_ENDLESS = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_INTEGER = re.compile(r"[-+]?(0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO]?[0-7]+|0|[1-9][0-9]*)")
"""As Go's strconv.ParseInt has it with base 0; a leading zero alone means octal."""
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_BASES = {"x": 16, "b": 2, "o": 8}
_MOST_DIGITS = 1e21
"""From here on Go's encoding/json writes a number with an exponent."""
_PREFIX = "tag:yaml.org,2002:"
_JSON = ("null", "bool", "int", "float", "str", "seq", "map")


class Loader(yaml.SafeLoader):
    """PyYAML's parser with kubectl's reading of plain words; keys are texts, as in JSON."""

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> str:
        """The tag of a node without one."""
        if kind is yaml.ScalarNode and implicit[0]:
            return f"{_PREFIX}{_kind(value)}"
        return str(super().resolve(kind, value, implicit))  # type: ignore[no-untyped-call]

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """An object. Raises ConstructorError for a key that is given twice."""
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise ConstructorError(None, None, "a key must be a plain word", key.start_mark)
            if key.value in seen:
                raise ConstructorError(None, None, f"key {key.value!r} is given twice", key.start_mark)
            seen.add(key.value)
        return {_text(key, node): value for key, value in super().construct_mapping(node, deep).items()}


class _Dumper(yaml.SafeDumper):
    """Quotes a text that is more than a text to either: `y` and 745972e653 to kubectl, 1:30 to PyYAML."""

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> str:
        """The tag by which a word is read back."""
        tag = str(super().resolve(kind, value, implicit))  # type: ignore[no-untyped-call]
        plain = kind is yaml.ScalarNode and implicit[0] and tag == f"{_PREFIX}str"
        return f"{_PREFIX}{_kind(value)}" if plain else tag


def dump(value: Any) -> str:
    """YAML for people and for kubectl, in the order of the fields."""
    return str(yaml.dump(value, Dumper=_Dumper, sort_keys=False, width=120))


def _kind(word: str) -> Literal["bool", "null", "merge", "float", "int", "str"]:
    """What a plain word is."""
    if word in _TRUE or word in _FALSE:
        return "bool"
    if word in _NULL:
        return "null"
    if word == "<<":
        return "merge"
    if _ENDLESS.fullmatch(word):
        return "float"
    plain = word.replace("_", "") if word[0] in "+-0123456789" else word
    if _INTEGER.fullmatch(plain):
        return "int"
    return "float" if _FLOAT.fullmatch(plain) else "str"


def _bool(_: Loader, node: yaml.ScalarNode) -> bool:
    if node.value not in _TRUE | _FALSE:
        raise ConstructorError(None, None, f"{node.value!r} is no truth value", node.start_mark)
    return node.value in _TRUE


def _number(_: Loader, node: yaml.ScalarNode) -> int | float | str:
    """A number by its worth: JSON makes no difference between 1e3 and 1000. One that no float holds is a text to Go."""
    plain = node.value.replace("_", "")
    if _INTEGER.fullmatch(plain):
        whole = _integer(plain)
        return whole if -(2**63) <= whole < 2**63 else float(whole)  # as the API server reads it back
    if not _FLOAT.fullmatch(plain):
        raise ConstructorError(None, None, f"{node.value!r} is no number that JSON knows", node.start_mark)
    value = float(plain)
    if math.isinf(value):
        return str(node.value)
    return int(value) if value.is_integer() and abs(value) < _MOST_DIGITS else value


def _integer(plain: str) -> int:
    sign, digits = (-1, plain[1:]) if plain[0] == "-" else (1, plain.lstrip("+"))
    base = _BASES.get(digits[1:2].lower())
    if base is not None:
        return sign * int(digits[2:], base)
    return sign * int(digits, 8 if digits.startswith("0") else 10)


def _text(key: Hashable, node: yaml.MappingNode) -> str:
    if key is None:
        raise ConstructorError(None, None, "a key is empty; write a word, in quotes if it is `null`", node.start_mark)
    return ("false", "true")[key] if isinstance(key, bool) else str(key)


def _unknown(_: Loader, node: yaml.Node) -> None:
    tag = node.tag.replace(_PREFIX, "!!")
    raise ConstructorError(None, None, f"tag {tag} has no meaning in a manifest; remove it", node.start_mark)


Loader.yaml_constructors = {f"{_PREFIX}{kind}": SafeConstructor.yaml_constructors[f"{_PREFIX}{kind}"] for kind in _JSON}
Loader.add_constructor(f"{_PREFIX}bool", _bool)
Loader.add_constructor(f"{_PREFIX}int", _number)
Loader.add_constructor(f"{_PREFIX}float", _number)
Loader.add_constructor(None, _unknown)
