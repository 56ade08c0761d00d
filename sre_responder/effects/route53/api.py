"""Route 53 as one account: every call has a limit of time, and what AWS refuses becomes a sentence with its cure."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sre_responder.effects.route53.names import written
from sre_responder.errors import EffectFailed, InputError, OutcomeUnknown, ResponderError
from sre_responder.model import address
from sre_responder.model.names import shown

CONNECT_SECONDS, READ_SECONDS, TRIES = 5, 10, 3
RIGHTS = (
    "ListHostedZonesByName", "GetHostedZone", "ListResourceRecordSets", "GetHealthCheck", "GetHealthCheckStatus",
    "ChangeResourceRecordSets", "GetChange",
)  # fmt: skip
"""What the account must be allowed, as IAM spells it behind `route53:`."""

_BUSY = (
    "Throttling",
    "ThrottlingException",
    "RequestLimitExceeded",
    "TooManyRequestsException",
    "PriorRequestNotComplete",
)
"""What Route 53 answers to a call that it did not begin, because there are too many."""
_EXPIRED = "Renew them, for instance with `aws sso login`, then run again."
_REFUSED: Mapping[tuple[str, ...], tuple[str, str]] = {
    ("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"): ("the AWS credentials have expired", _EXPIRED),
    (
        "InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch", "InvalidSignatureException",
        "IncompleteSignature", "AuthFailure", "InvalidAccessKeyId", "MissingAuthenticationToken",
    ): ("AWS does not accept the credentials", "Check them with `aws sts get-caller-identity`."),
    ("RequestExpired", "RequestTimeTooSkewed"): ("AWS's clock and this machine's differ", "Set this machine's clock."),
    _BUSY: (
        f"AWS limits the rate of calls, also at try {TRIES}",
        "Run again in a minute; all of the account together may make 5 calls a second.",
    ),
}  # fmt: skip
"""Error codes: what they mean, and the cure. AWS's own words are not shown, for they repeat what was sent of the credentials."""
_ID = re.compile(r"[A-Z0-9]{10,32}", re.ASCII)
_PAGES, _MOST_BYTES = 10, 1 << 20
_REGION = "us-east-1"
"""By which calls are signed in the common partition of AWS, whatever region one works in."""


@dataclass(frozen=True)
class Zone:
    """A hosted zone."""

    id: str
    name: str
    private: bool

    def __str__(self) -> str:
        return f"{self.id} ({'private' if self.private else 'public'} zone {self.name})"


def client_of(arguments: Mapping[str, Any], tries: int = TRIES) -> Any:
    """A client with the credentials that boto3 finds for `profile`: environment, files, SSO, or the machine's own role."""
    endpoint = arguments.get("endpoint_url")
    if endpoint and (wrong := address.problem(str(endpoint))):
        raise InputError(
            f"endpoint_url '{address.shown(str(endpoint))}' {wrong}.", cure="Write http://host:port or https://host."
        )
    return _client(arguments.get("profile"), arguments.get("region"), endpoint, tries)


@lru_cache(maxsize=8)
def _client(profile: str | None, region: str | None, endpoint: str | None, tries: int) -> Any:
    try:
        from boto3.session import Session
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError
    except ImportError as error:
        raise InputError("Route 53 needs the package boto3.", cure="pip install 'sre-responder[aws]'") from error
    config = Config(
        connect_timeout=CONNECT_SECONDS, read_timeout=READ_SECONDS, retries={"total_max_attempts": tries, "mode": "standard"},
        user_agent_extra="sre-responder", proxies={} if endpoint and address.loopback(endpoint) else None,
    )  # fmt: skip
    try:
        session = Session(profile_name=profile, region_name=region)
        place = session.region_name or _REGION
        client = session.client("route53", region_name=place, endpoint_url=endpoint, config=config)
    except BotoCoreError as error:
        raise _failure(error, endpoint or "AWS", EffectFailed) from error
    except ValueError as error:
        raise InputError(f"no client for AWS can be made: {shown(error)}.", cure="Check endpoint_url.") from error
    client._endpoint.http_session = _Bounded(client._endpoint.http_session)
    return client


class _Unreadable(Exception):
    """An answer that breaks off, or has no end."""


class _Bounded:
    """What sends botocore's requests; an answer is read up to a size that Route 53 never sends."""

    def __init__(self, session: Any) -> None:
        self._session = session

    def send(self, request: Any) -> Any:
        from urllib3.exceptions import HTTPError

        request.stream_output = True  # botocore itself would read it to its end
        answer = self._session.send(request)
        try:
            answer._content = answer.raw.read(_MOST_BYTES + 1)
        except (HTTPError, OSError) as error:
            raise _Unreadable from error
        if len(answer._content) > _MOST_BYTES:
            answer.raw.close()
            raise _Unreadable
        return answer

    def close(self) -> None:
        self._session.close()


def call(client: Any, operation: str, wanted: str, **given: Any) -> dict[str, Any]:
    """One call that only reads; `wanted` is in its answer. InputError if what it names does not exist, EffectFailed for all else."""
    return _called(client, operation, wanted, given, EffectFailed)


def submit(client: Any, zone: str, changes: list[dict[str, Any]], until: float) -> str:
    """Have a batch of changes made, all or none of it; its id, by which GetChange knows it.

    Tried again only where AWS says that it did not begin. RejectedBatch if it refuses the batch itself, OutcomeUnknown if no answer tells.
    """
    pause = 1.0
    while True:
        try:
            given = {"HostedZoneId": zone, "ChangeBatch": {"Changes": changes}}
            made = _called(client, "change_resource_record_sets", "ChangeInfo", given, OutcomeUnknown)
            return str(made["ChangeInfo"]["Id"])
        except Busy:
            if time.monotonic() + pause > until or pause > 2 ** (TRIES - 1):
                raise
        time.sleep(pause)  # longer each time, as AWS asks of clients that it throttles
        pause *= 2


class Busy(EffectFailed):
    """AWS did not begin a call, because there are too many."""


class RejectedBatch(EffectFailed):
    """Route 53 made none of a batch, because one change of it cannot be made as the zone is now."""


def _called(
    client: Any, operation: str, wanted: str, given: Mapping[str, Any], silent: type[ResponderError]
) -> dict[str, Any]:
    """`silent` is raised where AWS may have done it, and no answer says so."""
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    place = address.shown(str(client.meta.endpoint_url))
    try:
        answer = dict(getattr(client, operation)(**given))
    except ClientError as error:
        raise _refusal(error, silent) from error
    except (BotoCoreError, ResponseParserError, _Unreadable) as error:
        raise _failure(error, place, silent) from error
    if wanted not in answer:
        raise silent(f"what answers at {place} is not Route 53: it sent no {wanted}.", cure="Check endpoint_url.")
    return answer


def _refusal(error: Any, silent: type[ResponderError]) -> ResponderError:
    answer = error.response["Error"]
    code, said = str(answer.get("Code")), shown(answer.get("Message") or "nothing said why", 500).rstrip(".")
    if messages := error.response.get("Messages"):  # the form that the API's reference shows
        code, said = "InvalidChangeBatch", shown(messages.get("Message"), 500).rstrip(".")
    right = error.operation_name
    if right in RIGHTS:  # else one by which credentials are had, such as AssumeRole
        right = f"route53:{right}"
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    for codes, (why, cure) in _REFUSED.items():
        if code in codes:
            return (Busy if codes is _BUSY else EffectFailed)(f"{right} failed: {why} ({code}).", cure=cure)
    if code in ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation"):
        all_rights = ", ".join(f"route53:{name}" for name in RIGHTS)
        return EffectFailed(
            f"{right} failed: {said} ({code}).", cure=f"Allow it in IAM; the action needs {all_rights}."
        )
    if code in ("NoSuchHostedZone", "NoSuchHealthCheck"):
        return InputError(
            f"{right} failed: {said} ({code}).",
            cure="Check zone, and that profile is of its account; write a dot after a zone's name that could be an id.",
        )
    if code == "InvalidChangeBatch":
        return RejectedBatch(f"Route 53 refused the change, and made none of it: {said}.")
    if status >= 500:
        return silent(
            f"{right} failed: AWS answered {status} ({shown(code, 80)}).", cure="See the AWS Health Dashboard."
        )
    return EffectFailed(f"{right} failed: {said} ({shown(code, 80)}).")


def _failure(error: Exception, place: str, silent: type[ResponderError]) -> ResponderError:
    """What boto3 met before there was an answer. Its own words may hold a proxy's password, so that only its kind is shown."""
    from botocore import exceptions as boto

    kind = type(error).__name__.strip("_")
    if isinstance(error, boto.ProfileNotFound | boto.InvalidRegionError | boto.ConfigParseError):
        return InputError(f"{shown(error).rstrip('.')}.", cure="Check profile, region and ~/.aws/config.")
    if isinstance(error, boto.NoCredentialsError):
        return EffectFailed(
            "no AWS credentials are found.",
            cure="Set AWS_PROFILE, or profile of the task, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give this machine an instance role.",
        )
    if isinstance(error, boto.PartialCredentialsError):
        return EffectFailed(f"the AWS credentials are incomplete: {shown(error)}.", cure="Set what is missing.")
    if isinstance(error, boto.SSOError | boto.TokenRetrievalError | boto.UnauthorizedSSOTokenError):
        return EffectFailed(f"the AWS credentials have expired ({kind}).", cure=_EXPIRED)
    if isinstance(error, boto.CredentialRetrievalError | boto.MetadataRetrievalError):
        return EffectFailed(f"AWS credentials cannot be retrieved ({kind}).", cure="Try `aws sts get-caller-identity`.")
    if isinstance(error, boto.ParamValidationError):
        return InputError(f"AWS's own client refuses these options: {shown(error, 500)}.", cure="Correct them.")
    unsent = (boto.EndpointConnectionError, boto.ConnectTimeoutError, boto.ProxyConnectionError, boto.SSLError)
    if isinstance(error, unsent):
        return EffectFailed(
            f"cannot reach Route 53 at {place} ({kind}).", cure="Check network, proxy and endpoint_url."
        )
    return silent(f"Route 53 at {place} sent no answer that can be read ({kind}).", cure="Check network and proxy.")


def zone_id(text: str) -> str | None:
    """The id that stands where a zone is named; None where that is a domain name."""
    bare = text.strip().removeprefix("/hostedzone/")
    return bare if _ID.fullmatch(bare) else None


def zones_of(client: Any, text: str) -> list[Zone]:
    """The hosted zones that an id or a name means: a name may be that of several, public and private."""
    if id := zone_id(text):
        return [_zone(call(client, "get_hosted_zone", "HostedZone", Id=id)["HostedZone"])]
    name = written(text)
    listed = call(client, "list_hosted_zones_by_name", "HostedZones", DNSName=name, MaxItems="100")["HostedZones"]
    return [zone for zone in map(_zone, listed) if zone.name == name]


def zone_of(client: Any, text: str) -> Zone:
    """The one hosted zone that an id or a name means."""
    found = zones_of(client, text)
    if not found:
        raise InputError(
            f"this account has no hosted zone {written(text)}", cure="Check zone, and that profile is of its account."
        )
    if len(found) > 1:
        raise InputError(
            f"this account has {len(found)} hosted zones of that name: {'; '.join(map(str, found))}.",
            cure="Name one by its id.",
        )
    return found[0]


def _zone(answer: Mapping[str, Any]) -> Zone:
    private = bool(answer.get("Config", {}).get("PrivateZone"))
    return Zone(str(answer["Id"]).removeprefix("/hostedzone/"), written(str(answer["Name"])), private)


def records_of(client: Any, zone: Zone, name: str) -> Iterator[dict[str, Any]]:
    """Every record set of a name, as it must be given back to be deleted. The zone is read from there, and no further."""
    start: dict[str, str] = {"StartRecordName": name}
    for _ in range(_PAGES):
        page = call(
            client, "list_resource_record_sets", "ResourceRecordSets", HostedZoneId=zone.id, MaxItems="100", **start
        )
        for record in page["ResourceRecordSets"]:
            if written(record["Name"]) != name:
                return
            yield {key: value for key, value in record.items() if value not in ([], {})}  # as the list of an alias
        if not page.get("IsTruncated"):
            return
        following = {f"Start{key.removeprefix('Next')}": page[key] for key in _NEXT if page.get(key)}
        if following == start:
            break
        start = following
    raise EffectFailed(f"{name} has more record sets in zone {zone} than can be read.", cure="Check endpoint_url.")


_NEXT = ("NextRecordName", "NextRecordType", "NextRecordIdentifier")
