"""A `pre` hook for requests that hold gzip'd JSON as base64 text in a field, many customers in one."""

import base64
import gzip
import json


def unpack(record):
    customers = json.loads(gzip.decompress(base64.b64decode(record.input["payload"])))
    return [
        customer | {"prediction": score} for customer, score in zip(customers, record.output["scores"], strict=True)
    ]
