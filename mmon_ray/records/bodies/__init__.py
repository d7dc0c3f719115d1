"""The forms of bodies: what a request or an answer holds, and which rows lie in it.

A payload is read in three steps. `content_of` finds out what it is, by its content type and by its text or bytes.
`opened` finds the rows in it. Where a body alone leaves that open, a Side decides: the baseline is asked before the
answer.

What it is (`content.py`), the first that fits:

 1  compressed: gzip, zlib, zstd (known by their marks)         inflated, up to a bound
 2  bytes in UTF-8, the declared charset, UTF-16, UTF-32        text; other bytes are one value
 3  multipart/form-data                                         a file of JSON or CSV is the rows, fields are columns;
                                                                else all are columns
 4  JSON Lines, said, or two and more lines of JSON             a row a line
 5  JSON, said or not, also within a JSON text                  see below
 6  CSV, said, or lines of as many cells as there are features  a row a line; a header if most of its cells are columns
                                                                of the baseline
 7  text                                                        one value

Which rows lie in an object (`forms.py`), the first that fits; keys that are columns of the baseline are never opened:

 1  inputs / outputs: [{name, shape, datatype, data}, ...]      Open Inference Protocol: a tensor a column, or n rows of
                                                                k values
 2  data: {ndarray | tensor, names}, jsonData, strData          Seldon
 3  columns + data, dataframe_split; schema + data              frames: `split`, `table`
 4  instances, inputs, rows, data, features, ...                what lies in it: rows, a row, columns
 5  lists of equal length                                       columns, where the baseline has single values there, or
                                                                as the answer splits
 6  objects with the same keys                                  frames: `columns`, `index`
 7  any other                                                   one row; nested objects have dotted names

How a list without names is read (`side.py`), the first that fits:

 1  it holds lists or objects                                   rows
 2  the baseline has one feature                                a row a value
 3  as many values as the baseline has features                 one row
 4  in `instances`, or a bare list of texts                     a row a value
 5  under another key, and the answer has as many parts         a row a value
 6  a bare list                                                 one row

Fields that protocols put beside the rows (`forms.CONTROL`) are columns only where the baseline has them.
"""

from __future__ import annotations

from mmon_ray.records.bodies.content import ANY, Content, content_of, json_within
from mmon_ray.records.bodies.forms import Opened, opened
from mmon_ray.records.bodies.side import PredictionSide, RequestSide, is_nested

__all__ = [
    "ANY",
    "Content",
    "Opened",
    "PredictionSide",
    "RequestSide",
    "content_of",
    "is_nested",
    "json_within",
    "opened",
]
