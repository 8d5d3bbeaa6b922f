"""What is wrong with an input, in our own words: from the kind of the error and the schema, never from the value.

A value may be a secret, and the words of a validator are for programmers of validators.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jsonschema_rs

from tickets.errors import InputError, InvalidRequest

MAX_ERRORS = 100
_TYPES = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}
_FORMATS = {
    "email": "an e-mail address like ada@acme.example",
    "date-time": "a time like 2026-01-02T03:04:05Z",
    "uri-reference": "an address or a part of one",
    "json-pointer": "a JSON pointer like /subject",
}
_UNKNOWN = "does not fit its description in openapi.yaml"


def faults_of(
    error: jsonschema_rs.ValidationError, schema: Any, where: str, shown: frozenset[str] = frozenset()
) -> list[InputError]:
    """Name the faults that one error of the validator stands for.

    Args:
        error: what the validator found.
        schema: the whole schema that it checked against.
        where: ``body``, ``query``, ``path`` or ``header``.
        shown: what answers show of the entity that is described, whether it can be sent or not.
    """
    path = "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in error.instance_path)
    kind: Any = error.kind
    if kind.name == "additionalProperties":
        words = dict.fromkeys(() if path else shown, "is read-only here; leave it out")
        unknown = "is not known here; leave it out"
        return [InputError(f"{path}/{escaped(name)}", words.get(name, unknown), where) for name in kind.unexpected]
    if kind.name == "required":
        return [InputError(f"{path}/{escaped(kind.property)}", "is required", where)]
    if kind.name == "oneOf" and "discriminator" in _rule(error, schema):
        return _faults_of_kind(error, schema, where)
    return [InputError(path, text, where) for text in _words(error, schema, where)]


def _faults_of_kind(error: jsonschema_rs.ValidationError, schema: Any, where: str) -> list[InputError]:
    """Name the faults of the alternative that the discriminator chooses, or that it chooses none."""
    rule = _rule(error, schema)
    name = rule["discriminator"]["propertyName"]
    place = [*error.instance_path, name]
    kind: Any = error.kind

    def is_of_choice(fault: Any) -> bool:
        return bool(fault.instance_path == place or (fault.kind.name == "required" and fault.kind.property == name))

    meant = next((errors for errors in kind.context if not any(map(is_of_choice, errors))), None)
    if meant is None:
        choices = [choice for one in rule["oneOf"] for choice in one["properties"][name]["enum"]]
        pointer = "".join(f"/{part}" for part in place)
        return [InputError(pointer, f"must be one of {', '.join(choices)}", where)]
    return [fault for inner in meant for fault in faults_of(inner, schema, where)]


def _words(error: jsonschema_rs.ValidationError, schema: Any, where: str) -> list[str]:
    """Say what a value must be, so that an enum's wrong type and its unknown value are one fault."""
    kind: Any = error.kind
    rule = _rule(error, schema)
    if kind.name == "propertyNames":
        return [f"has a name in it that {text}" for text in _words(kind.error, schema, where)]
    if kind.name == "oneOf":
        return _words_of_choice(kind, rule, schema, where)
    if kind.name == "type" and "enum" in rule:
        return [_options(rule)]
    if kind.name == "format" and (kind.format, where) == ("date-time", "query"):
        return [f"must be {_FORMATS['date-time']} (write + as %2B in a query)"]
    say = _SAID.get(kind.name)
    return [say(rule) if say else _UNKNOWN]


def _rule(error: jsonschema_rs.ValidationError, schema: Any) -> Mapping[str, Any]:
    """Find the part of the schema that was not kept."""
    for part in list(error.schema_path)[:-1]:
        schema = schema[part]
    found: Mapping[str, Any] = schema
    return found


def _words_of_choice(kind: Any, rule: Mapping[str, Any], schema: Any, where: str) -> list[str]:
    """Say what is wrong with the one alternative that has the type of the value, or else name all types."""
    meant = [errors for errors in getattr(kind, "context", ()) if not any(e.kind.name == "type" for e in errors)]
    if len(meant) == 1:
        return [text for error in meant[0] for text in _words(error, schema, where)]
    types = [name for one in rule["oneOf"] for name in _types(one)]
    return [f"must be {_named(types)}"]


def _types(rule: Mapping[str, Any]) -> list[str]:
    types = rule["type"]
    return [types] if isinstance(types, str) else types


def _named(types: Iterable[str]) -> str:
    """Write types as ``text, a number or null``, the last one last."""
    words = [_TYPES[name] for name in sorted(types, key=list(_TYPES).index)]
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _options(rule: Mapping[str, Any]) -> str:
    options = ["null" if option is None else str(option) for option in rule["enum"]]
    return f"must be {options[0]}" if len(options) == 1 else f"must be one of {', '.join(options)}"


def _length(rule: Mapping[str, Any]) -> str:
    least, most = rule.get("minLength"), rule.get("maxLength")
    if least == most:
        return f"must have exactly {_count(most, 'character')}"
    return f"must have at least {_count(least, 'character')}"


def _count(number: Any, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _fields(rule: Mapping[str, Any], text: str) -> str:
    """Say how many fields there must be: in the words of the contract, where it means certain ones."""
    hint = rule.get("x-size-hint")
    return f"must have {hint}" if hint else text


_SAID: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "type": lambda rule: f"must be {_named(_types(rule))}",
    "enum": _options,
    "format": lambda rule: f"must be {_FORMATS[rule['format']]}" if rule["format"] in _FORMATS else _UNKNOWN,
    "pattern": lambda rule: f"must be {rule['x-pattern-hint']}" if "x-pattern-hint" in rule else _UNKNOWN,
    "minLength": lambda rule: "must not be empty" if rule["minLength"] == 1 else _length(rule),
    "maxLength": lambda rule: (
        _length(rule)
        if rule.get("minLength") == rule["maxLength"]
        else f"must have at most {_count(rule['maxLength'], 'character')}"
    ),
    "minimum": lambda rule: f"must be {rule['minimum']} or more",
    "maximum": lambda rule: f"must be {rule['maximum']} or less",
    "exclusiveMinimum": lambda rule: f"must be more than {rule['exclusiveMinimum']}",
    "exclusiveMaximum": lambda rule: f"must be less than {rule['exclusiveMaximum']}",
    "minItems": lambda rule: f"must have at least {_count(rule['minItems'], 'item')}",
    "maxItems": lambda rule: f"must have at most {_count(rule['maxItems'], 'item')}",
    "uniqueItems": lambda _: "must not have the same item twice",
    "minProperties": lambda rule: _fields(rule, f"must have at least {_count(rule['minProperties'], 'field')}"),
    "maxProperties": lambda rule: _fields(rule, f"must have at most {_count(rule['maxProperties'], 'field')}"),
}


def escaped(name: str) -> str:
    """Write a name the caller made up as a part of a JSON pointer, of bounded length."""
    return name[:100].replace("~", "~0").replace("/", "~1")


def invalid(faults: list[InputError]) -> InvalidRequest:
    """Make the 400 that names each fault."""
    first = faults[0]
    name = first.pointer.removeprefix("/") or f"the {first.where}"
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return InvalidRequest(f"{name}: {first.detail}{more}", errors=faults)


def one_fault(where: str, pointer: str, detail: str) -> InvalidRequest:
    """Make the 400 that names a single fault."""
    return invalid([InputError(pointer, detail, where)])
