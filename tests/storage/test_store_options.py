"""Options of stores reach TensorStore's descriptions."""

import pytest
import tensorstore as ts

from jaxslice.core.errors import UsageError
from jaxslice.storage.location import parse_location, storage_context
from jaxslice.storage.store_options import StoreOptions, credentials_of_s3, options_for_now

OPTIONS = StoreOptions(
    endpoint="http://127.0.0.1:9000/",
    region="eu-west-3",
    anonymous=True,
    requester_pays=True,
    retries=3,
)


@pytest.fixture(autouse=True)
def no_variables(monkeypatch):
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("GOOGLE_CLOUD_PROJECT", raising=False)


def tensorstore_spec(place):
    return ts.KvStore.Spec(parse_location(place)).to_json()


def test_s3_carries_all_of_them():
    with options_for_now(OPTIONS):
        spec = tensorstore_spec("s3://bucket/v")
    assert spec["endpoint"] == "http://127.0.0.1:9000"
    assert spec["aws_region"] == "eu-west-3"
    assert spec["aws_credentials"] == {"type": "anonymous"}
    assert spec["requester_pays"] is True


def test_s3_carries_nothing_by_itself(monkeypatch):
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "/token")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    assert tensorstore_spec("s3://bucket/v") == {"driver": "s3", "bucket": "bucket", "path": "v/"}


def test_s3_asks_for_credentials_where_there_are_some(tmp_path):
    root = str(tmp_path)
    assert credentials_of_s3({}, root) == "anonymous"
    assert credentials_of_s3({"AWS_ACCESS_KEY_ID": "key"}, root) == "environment"
    container = {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/role"}
    assert credentials_of_s3(container, root) == "ecs"
    (tmp_path / "sys/class/dmi/id").mkdir(parents=True)
    (tmp_path / "sys/class/dmi/id/sys_vendor").write_text("Amazon EC2\n")
    assert credentials_of_s3({}, root) == "imds"
    (tmp_path / "home/.aws").mkdir(parents=True)
    (tmp_path / "home/.aws/credentials").write_text("[default]")
    assert credentials_of_s3({"HOME": "/home"}, root) is None
    for kind in ("anonymous", "environment", "ecs", "imds"):
        ts.KvStore.Spec({"driver": "s3", "bucket": "bucket", "aws_credentials": {"type": kind}})


def test_flags_go_before_variables(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://other")
    monkeypatch.setenv("AWS_REGION", "us-east-2")
    assert tensorstore_spec("s3://bucket/v")["aws_region"] == "us-east-2"
    with options_for_now(OPTIONS):
        spec = tensorstore_spec("s3://bucket/v")
    assert (spec["endpoint"], spec["aws_region"]) == ("http://127.0.0.1:9000", "eu-west-3")


def test_gcs_carries_the_project_that_pays(monkeypatch):
    with options_for_now(OPTIONS):
        with pytest.raises(UsageError, match="GOOGLE_CLOUD_PROJECT"):
            parse_location("gs://bucket/v")
        monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "payer")
        assert tensorstore_spec("gs://bucket/v")["gcs_user_project"] == {"project_id": "payer"}


def test_the_context_carries_the_retries():
    with options_for_now(OPTIONS):
        context = storage_context()
    for kind in ("http", "s3", "gcs"):
        assert context[f"{kind}_request_retries"].to_json()["max_retries"] == 3
