"""A number from Amazon CloudWatch: the last whole period of one metric."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from sre_responder.evidence.series import after_the_action
from sre_responder.model import address
from sre_responder.model.look import NotMeasured, Number, Place
from sre_responder.model.names import shown

_BEFORE_S = 3600


class CloudwatchLogin(BaseModel):
    """Which account and region; the credentials are those that boto3 finds for the profile."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    region: str | None = None
    profile: str | None = None
    endpoint_url: str | None = Field(None, description="Where the API is, if not at AWS.")


class Cloudwatch(Number):
    """One metric, by get_metric_data: a period that is not over yet does not count."""

    login = CloudwatchLogin
    source: Literal["cloudwatch"] = "cloudwatch"
    namespace: str = Field(min_length=1, description="Such as AWS/ApplicationELB.")
    metric: str = Field(min_length=1)
    dimensions: Mapping[str, str] = Field(
        default_factory=dict, description="$service, $environment and $NAME are filled in."
    )
    statistic: Literal["Average", "Sum", "Minimum", "Maximum", "SampleCount", "p50", "p90", "p95", "p99"] = "Average"
    period_s: int = Field(60, ge=60, multiple_of=60)
    max_age_s: float = Field(300.0, gt=0, description="How long ago the newest whole period may have ended.")
    connection: str | None = Field(
        None, description="Name in connections.yml; default: responder/cloudwatch-connection."
    )

    def missing(self, place: Place) -> str | None:
        known = place.login(self.source, self.connection)
        return None if known else "no CloudWatch: responder/cloudwatch-connection is not set"

    @classmethod
    def reached(cls, login: CloudwatchLogin) -> str:
        now = time.time()
        probe = cls(namespace="AWS/Usage", metric="CallCount", above=0)
        _values(login, probe._asked({}), now - 300, now, 5)
        return "it answers get_metric_data"

    def read(self, place: Place) -> float:
        now = time.time()
        start = now - self.max_age_s - _BEFORE_S  # further back than counts, to say how old the newest is
        found = _values(self._account(place), self._asked(self._filled(place)), start, now, self.timeout_s)
        whole = [(at, value) for at, value in found if at + self.period_s <= now]
        if not whole:
            raise NotMeasured(f"no data: {self.metric} has no whole period in the last {now - start:.0f} s")
        at, value = max(whole)
        if (age := now - at - self.period_s) > self.max_age_s:
            raise NotMeasured(f"stale: the newest whole period of {self.metric} ended {age:.0f} s ago")
        after_the_action(place, now - at)
        return value

    def history(self, place: Place, start: float, end: float) -> Sequence[float]:
        asked = self._asked(self._filled(place))
        return [value for _, value in _values(self._account(place), asked, start, end, self.timeout_s)]

    def _account(self, place: Place) -> CloudwatchLogin:
        login: CloudwatchLogin | None = place.login(self.source, self.connection)
        if login is None:
            raise NotMeasured(str(self.missing(place)))
        return login

    def _filled(self, place: Place) -> dict[str, str]:
        return {name: place.filled(value) for name, value in self.dimensions.items()}

    def _asked(self, dimensions: Mapping[str, str]) -> dict[str, Any]:
        named = [{"Name": name, "Value": value} for name, value in dimensions.items()]
        metric = {"Namespace": self.namespace, "MetricName": self.metric, "Dimensions": named}
        return {"Id": "value", "MetricStat": {"Metric": metric, "Period": self.period_s, "Stat": self.statistic}}


SOURCE = Cloudwatch


def _values(
    login: CloudwatchLogin, asked: Mapping[str, Any], start: float, end: float, timeout_s: float
) -> list[tuple[float, float]]:
    """The periods of that time: when each began, and its value. NotMeasured for an answer that is not whole."""
    try:
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError as error:
        raise NotMeasured("boto3 is not installed: pip install 'sre-responder[aws]'") from error
    span = {"StartTime": datetime.fromtimestamp(start, UTC), "EndTime": datetime.fromtimestamp(end, UTC)}
    try:
        answer = _client(login, timeout_s).get_metric_data(MetricDataQueries=[asked], **span)
        [found] = answer["MetricDataResults"]
    except ClientError as error:  # AWS's own words are not shown: they repeat what was sent of the credentials
        raise NotMeasured(
            f"CloudWatch refuses: {shown(error.response.get('Error', {}).get('Code', 'unknown'))}"
        ) from error
    except BotoCoreError as error:
        raise NotMeasured(f"cannot query CloudWatch: {type(error).__name__} {shown(error, 200)}") from error
    except (KeyError, ValueError) as error:
        raise NotMeasured("CloudWatch answers without the metric") from error
    if found.get("StatusCode") != "Complete" or answer.get("NextToken"):
        raise NotMeasured(f"the answer is partial: {shown(found.get('StatusCode', 'unknown'))}")
    return [(at.timestamp(), float(value)) for at, value in zip(found["Timestamps"], found["Values"], strict=True)]


@lru_cache(maxsize=8)
def _client(login: CloudwatchLogin, timeout_s: float) -> Any:
    from boto3.session import Session
    from botocore.config import Config

    if login.endpoint_url and (wrong := address.problem(login.endpoint_url)):
        raise NotMeasured(f"endpoint_url {wrong}")
    here = bool(login.endpoint_url and address.loopback(login.endpoint_url))
    config = Config(
        connect_timeout=timeout_s, read_timeout=timeout_s, retries={"total_max_attempts": 1, "mode": "standard"},
        user_agent_extra="sre-responder", proxies={} if here else None,
    )  # fmt: skip
    session = Session(profile_name=login.profile, region_name=login.region)
    return session.client("cloudwatch", endpoint_url=login.endpoint_url, config=config)
