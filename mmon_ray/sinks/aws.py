"""Amazon's alarms: every window's metrics to CloudWatch, under SageMaker Model Monitor's names, and alarms to a topic
of SNS."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from mmon_ray.core.report import Metric, Report
from mmon_ray.errors import InputError, MonitorError
from mmon_ray.sinks.sink import Sink, alarm, headline

__all__ = ["CloudWatch", "Sns"]

_LARGEST = 2.348543e108  # what the service publishes for infinity
_BATCH = 500  # of a thousand that one call may carry
_SUBJECT = 100
_RETRIES = {"retries": {"max_attempts": 3, "mode": "standard"}, "connect_timeout": 5, "read_timeout": 10}
_FEATURE = {
    "completeness": "feature_completeness_{}",
    "distinct": "feature_estimated_unique_values_{}",
    "baseline_drift": "feature_baseline_drift_{}",
    "ks": "feature_baseline_drift_{}",
    "linf": "feature_baseline_drift_{}",
}
_QUALITY = "model-metrics"


@dataclass(frozen=True)
class CloudWatch(Sink, kind="cloudwatch"):
    """Publishes a window's metrics to CloudWatch, so that alarms and dashboards made for SageMaker Model Monitor go on
    working.

    Features are published as `feature_data_age` (a statistic set), `feature_completeness_age`,
    `feature_baseline_drift_age` and `feature_estimated_unique_values_age`, model quality as `f1`, `auc` and so on, each
    with the dimensions Endpoint and MonitoringSchedule; all other metrics as `mmon_` and their names, with the
    dimension Feature. What could not be computed is not published.

    namespace   the first part of the namespaces; `data-metrics` and `model-metrics` are added
    region      AWS's; "" takes boto3's own
    source      the service's CloudWatch metrics (formats of SageMaker Model Monitor)

    >>> import mmon_ray
    >>> mmon_ray.CloudWatch("my/models", region="eu-west-1").namespace
    'my/models'
    """

    namespace: str = "aws/sagemaker/Endpoints"
    region: str = ""
    always: bool = field(default=True, kw_only=True)

    def send(self, report: Report) -> None:
        """Publish the metrics of a report, at the time of the window's start."""
        client = _client("cloudwatch", self.region)
        dimensions = [
            {"Name": "Endpoint", "Value": report.monitor},
            {"Name": "MonitoringSchedule", "Value": report.monitor},
        ]
        moment = {"Timestamp": report.window.start} if report.window else {}
        groups: dict[str, list[dict[str, Any]]] = {}
        for group, datum in _data(report):
            extra = datum.pop("dimension", [])
            groups.setdefault(f"{self.namespace}/{group}", []).append(
                {**datum, **moment, "Dimensions": [*dimensions, *extra]}
            )
        for namespace, data in groups.items():
            for start in range(0, len(data), _BATCH):
                part = data[start : start + _BATCH]
                _called(
                    lambda part=part, namespace=namespace: client.put_metric_data(Namespace=namespace, MetricData=part)
                )


@dataclass(frozen=True)
class Sns(Sink, kind="sns"):
    """Publishes alarms to a topic of SNS: mail, telephones, queues, functions.

    topic    its ARN
    region   AWS's; "" takes that of the ARN
    errors   InputError for what is no ARN

    >>> import mmon_ray
    >>> mmon_ray.Sns("arn:aws:sns:eu-west-1:123456789012:alarms").kind
    'sns'
    """

    topic: str
    region: str = ""

    def __post_init__(self) -> None:
        if len(self.topic.split(":")) < 6 or not self.topic.startswith("arn:"):
            raise InputError(f"'{self.topic}' is no topic; write its ARN, arn:aws:sns:REGION:ACCOUNT:NAME")

    def send(self, report: Report) -> None:
        """Publish the alarm's text, with the monitor and the status as attributes to filter by."""
        client = _client("sns", self.region or self.topic.split(":")[3])
        told = {"monitor": report.monitor, "status": report.status}
        attributes = {name: {"DataType": "String", "StringValue": value} for name, value in told.items()}
        _called(
            lambda: client.publish(
                TopicArn=self.topic,
                Subject=headline(report)[:_SUBJECT],
                Message=alarm(report)["text"],
                MessageAttributes=attributes,
            )
        )


def _data(report: Report) -> Iterator[tuple[str, dict[str, Any]]]:
    """The last part of the namespace, and the datum."""
    from mmon_ray.analyses.model_quality import better_ways

    described: dict[str, dict[str, Metric]] = {}
    known = better_ways()
    for metric in report.metrics:
        if math.isnan(metric.value):
            continue
        if metric.name in ("mean", "min", "max", "completeness") and metric.column:
            described.setdefault(metric.column, {})[metric.name] = metric
        value = max(-_LARGEST, min(_LARGEST, metric.value))
        if metric.name in _FEATURE and metric.column:
            yield "data-metrics", {"MetricName": _FEATURE[metric.name].format(metric.column), "Value": value}
        elif metric.name in known or "_best_constant" in metric.name:
            yield _QUALITY, {"MetricName": metric.name, "Value": value}
        elif metric.name not in ("mean", "min", "max"):
            feature = [{"Name": "Feature", "Value": metric.column}] if metric.column else []
            yield "data-metrics", {"MetricName": f"mmon_{metric.name}", "Value": value, "dimension": feature}
    for column, own in described.items():
        if {"mean", "min", "max", "completeness"} <= own.keys():
            count = round(report.rows * own["completeness"].value)
            low, high = own["min"].value, own["max"].value
            values = {"SampleCount": float(count), "Sum": own["mean"].value * count, "Minimum": low, "Maximum": high}
            if count and all(abs(value) <= _LARGEST for value in values.values()):
                yield "data-metrics", {"MetricName": f"feature_data_{column}", "StatisticValues": values}


def _client(service: str, region: str) -> Any:
    import boto3
    from botocore.config import Config

    return boto3.client(service, **({"region_name": region} if region else {}), config=Config(**_RETRIES))  # type: ignore[call-overload]


def _called(call: Any) -> None:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        call()
    except (BotoCoreError, ClientError) as error:
        raise MonitorError(f"AWS could not be told: {error}") from None
