"""Manifests as kubectl reads them, so that no word means one thing here and another in a cluster.

kubectl turns a manifest into JSON by a go-yaml of version 2 (sigs.k8s.io/yaml: goyaml.v2/resolve.go, yaml.go). That is
neither YAML 1.1, as PyYAML has it, nor 1.2: `y` and `off` are truth values, `1e-1`, `017` and `08` are numbers, `1:30`
and `2026-01-01` are texts, and a number without a fraction is an integer, however it is written. A merge key (`<<`)
counts where it stands: it replaces what stands before it. What begins with `{` is tried as JSON first.

Some differences are on purpose, and are errors here: a key that is given twice, of which kubectl keeps one; a tag
beyond those of JSON (`!!binary`, `!!timestamp`, `!own`), which it reads over or turns into a text; a key that is a
number of more than six digits with a fraction or an exponent, which it rounds; and half a character of UTF-16 in JSON.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Hashable, Iterable, Iterator
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
_HALF = 2**63
_SURROGATE = re.compile("[\ud800-\udfff]")
_MOST_DIGITS = 1e21
"""From here on Go's encoding/json writes a number with an exponent."""
_PREFIX = "tag:yaml.org,2002:"
_JSON = ("null", "bool", "int", "float", "str", "seq", "map")


class Loader(yaml.SafeLoader):
    """PyYAML's parser with kubectl's reading of plain words; keys are texts, as in JSON."""

    ESCAPE_REPLACEMENTS = {key: text for key, text in yaml.SafeLoader.ESCAPE_REPLACEMENTS.items() if key != "/"}  # type: ignore[misc]  # noqa: RUF012
    """`\\/` is an escape of JSON alone."""

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> str:
        """The tag of a node without one."""
        if kind is yaml.ScalarNode and implicit[0]:
            return f"{_PREFIX}{_kind(value)}"
        return str(super().resolve(kind, value, implicit))  # type: ignore[no-untyped-call]

    def compose_scalar_node(self, anchor: Any) -> yaml.ScalarNode:
        """A word; behind the tag `!` it is a text."""
        plain_text = self.peek_event().tag == "!"  # type: ignore[no-untyped-call]
        node: yaml.ScalarNode = super().compose_scalar_node(anchor)
        if plain_text:
            node.tag = f"{_PREFIX}str"
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """An object. Raises ConstructorError for a key that is given twice."""
        found, own = dict[Hashable, Any](), set[str]()
        for key, value in node.value:
            if key.tag == f"{_PREFIX}merge":
                for source in _sources(value):
                    found |= self.construct_mapping(source, deep)
                continue
            text = _key(self, key)
            if text in own:
                raise ConstructorError(None, None, f"key {text!r} is given twice", key.start_mark)
            own.add(text)
            found[text] = self.construct_object(value, deep)
        return found


class _Dumper(yaml.SafeDumper):
    """Quotes a text that is more than a text to either: `y` and 745972e653 to kubectl, 1:30 to PyYAML."""

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> str:
        """The tag by which a word is read back."""
        tag = str(super().resolve(kind, value, implicit))  # type: ignore[no-untyped-call]
        plain = kind is yaml.ScalarNode and implicit[0] and tag == f"{_PREFIX}str"
        return f"{_PREFIX}{_kind(value)}" if plain else tag


def load_all(text: str) -> list[Any]:
    """What each document holds. Raises yaml.YAMLError."""
    try:
        return list(_json(text)) if text.lstrip().startswith("{") else list(yaml.load_all(text, Loader))
    except json.JSONDecodeError:  # an object of YAML may begin so too
        return list(yaml.load_all(text, Loader))


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
    if _INTEGER.fullmatch(plain) and -_HALF <= _integer(plain) < 2 * _HALF:
        return "int"
    return "float" if _FLOAT.fullmatch(plain) else "str"


def _null(_: Loader, node: yaml.ScalarNode) -> None:
    _check(node, ("null",), "is not null")


def _bool(_: Loader, node: yaml.ScalarNode) -> bool:
    _check(node, ("bool",), "is no truth value")
    return node.value in _TRUE


def _int(_: Loader, node: yaml.ScalarNode) -> int | float:
    _check(node, ("int",), "is no whole number of at most 64 bits")
    return _whole(node.value.replace("_", ""))


def _float(_: Loader, node: yaml.ScalarNode) -> int | float | str:
    """A number by its worth: JSON makes no difference between 1e3 and 1000. One that no float holds is a text to Go."""
    kind, plain = _check(node, ("int", "float"), "is no number that JSON knows"), node.value.replace("_", "")
    if kind == "int":
        return _whole(plain)
    if not _FLOAT.fullmatch(plain):
        raise ConstructorError(None, None, f"{node.value!r} is no number that JSON knows", node.start_mark)
    value = float(plain)
    return str(node.value) if math.isinf(value) else _worth(value)


def _string(_: Loader, node: yaml.ScalarNode) -> str:
    if _SURROGATE.search(node.value):
        text = "an escape means half a character of UTF-16; write the character itself"
        raise ConstructorError(None, None, text, node.start_mark)
    return str(node.value)


def _check(node: yaml.ScalarNode, kinds: Iterable[str], lacks: str) -> str:
    """The kind of a word. Raises ConstructorError where a tag says another."""
    kind = _kind(node.value)
    if kind not in kinds:
        raise ConstructorError(None, None, f"{node.value!r} {lacks}", node.start_mark)
    return kind


def _whole(plain: str) -> int | float:
    whole = _integer(plain)
    return whole if -_HALF <= whole < _HALF else float(whole)  # as the API server reads it back


def _worth(value: float) -> int | float:
    return int(value) if value.is_integer() and abs(value) < _MOST_DIGITS else value


def _integer(plain: str) -> int:
    sign, digits = (-1, plain[1:]) if plain[0] == "-" else (1, plain.lstrip("+"))
    base = _BASES.get(digits[1:2].lower())
    if base is not None:
        return sign * int(digits[2:], base)
    return sign * int(digits, 8 if digits.startswith("0") else 10)


def _key(loader: Loader, node: yaml.Node) -> str:
    """A key as JSON has it. Raises ConstructorError where it is none."""
    if not isinstance(node, yaml.ScalarNode):
        raise ConstructorError(None, None, "a key must be a plain word", node.start_mark)
    key = loader.construct_object(node)
    if key is None:
        raise ConstructorError(None, None, "a key is empty; write a word, in quotes if it is `null`", node.start_mark)
    if isinstance(key, bool):
        return ("false", "true")[key]
    if isinstance(key, str) or node.tag == f"{_PREFIX}int":
        if isinstance(key, float):
            raise ConstructorError(None, None, f"key {node.value} is too great; write it in quotes", node.start_mark)
        return str(key)
    short = f"{key:g}"
    if float(short) != key:
        raise ConstructorError(None, None, f"key {node.value} would be rounded; write it in quotes", node.start_mark)
    return short


def _sources(node: yaml.Node) -> Iterator[yaml.MappingNode]:
    """What a merge key brings, in the order in which one replaces the other."""
    for each in reversed(node.value) if isinstance(node, yaml.SequenceNode) else [node]:
        if not isinstance(each, yaml.MappingNode):
            raise ConstructorError(None, None, "<< must name an object, or a list of objects", node.start_mark)
        yield each


def _json(text: str) -> Iterator[Any]:
    """Objects one after the other. Raises json.JSONDecodeError where it is not JSON."""
    decoder = json.JSONDecoder(
        object_pairs_hook=_object, parse_int=_whole, parse_float=lambda word: _worth(float(word)), parse_constant=_no
    )
    place = 0
    while rest := text[place:].lstrip():
        value, read = decoder.raw_decode(rest)
        place = len(text) - len(rest) + read
        if _SURROGATE.search(json.dumps(value, ensure_ascii=False)):
            raise yaml.YAMLError("an escape means half a character of UTF-16")
        yield value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise yaml.YAMLError(f"key {key!r} is given twice")
        found[key] = value
    return found


def _no(word: str) -> None:
    raise json.JSONDecodeError(f"{word} is no number", word, 0)


def _unknown(_: Loader, node: yaml.Node) -> None:
    tag = node.tag.replace(_PREFIX, "!!")
    raise ConstructorError(None, None, f"tag {tag} has no meaning in a manifest; remove it", node.start_mark)


Loader.yaml_constructors = {f"{_PREFIX}{kind}": SafeConstructor.yaml_constructors[f"{_PREFIX}{kind}"] for kind in _JSON}
Loader.add_constructor(f"{_PREFIX}null", _null)
Loader.add_constructor(f"{_PREFIX}bool", _bool)
Loader.add_constructor(f"{_PREFIX}int", _int)
Loader.add_constructor(f"{_PREFIX}float", _float)
Loader.add_constructor(f"{_PREFIX}str", _string)
Loader.add_constructor(None, _unknown)
