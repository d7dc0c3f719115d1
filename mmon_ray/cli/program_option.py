"""Programs as they are given on the command line: `NAME=COMMAND`, or a file with all settings."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from mmon_ray.errors import InputError
from mmon_ray.monitors.program import Program

__all__ = ["parse_program"]


def parse_program(text: str) -> Program:
    """The program that a text names.

    text     `NAME=COMMAND`, or the path of a YAML or JSON file with the fields of `Program`; a local `working_dir` in
             it is taken from the folder of the file
    errors   InputError shows both forms, or says what is wrong in the file
    """
    path = Path(text).expanduser()
    if path.suffix in (".yaml", ".yml", ".json") and path.is_file():
        return _from_file(path)
    name, equals, command = text.partition("=")
    if not equals:
        raise InputError(
            f"'{text}' is no program; write NAME=COMMAND, or the path of a .yaml or .json file with its settings"
        )
    return Program(name, command)


def _from_file(path: Path) -> Program:
    import yaml  # type: ignore[import-untyped]

    try:
        settings: Any = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise InputError(f"'{path}' cannot be read as YAML: {' '.join(str(error).split())}") from None
    known = [spec.name for spec in fields(Program)]
    if not isinstance(settings, dict) or not {"name", "command"} <= set(settings) <= set(known):
        raise InputError(
            f"'{path}' has {sorted(map(str, settings)) if isinstance(settings, dict) else settings!r}; a program has "
            f"{known}"
        )
    runtime_env = settings.get("runtime_env")
    if isinstance(runtime_env, dict) and "://" not in str(runtime_env.get("working_dir", "://")):
        runtime_env["working_dir"] = str((path.parent / Path(str(runtime_env["working_dir"])).expanduser()).resolve())
    return Program(**settings)
