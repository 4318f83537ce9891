import base64
import ssl
from datetime import UTC, datetime

import pytest

from llmi_operator.errors import SettingsError
from llmi_operator.metrics_api.certificate import make_certificate, make_context
from llmi_operator.metrics_api.front_proxy import FrontProxy, read_front_proxy
from llmi_operator.metrics_api.registration import find_other, is_registered, make_api_service
from llmi_operator.metrics_api.settings import AdapterSettings

NOW = datetime.now(UTC)
OURS = make_api_service("system", "uid-1", b"certificate")


def seen_as(name):
    return {"subject": ((("commonName", name),),)}


def served_by(namespace, name):
    return {"spec": {"service": {"namespace": namespace, "name": name}}}


def test_a_group_that_nobody_or_we_serve_is_ours():
    assert not find_other({"v1beta1.custom.metrics.k8s.io": None, "v1beta2.custom.metrics.k8s.io": None}, "system")
    assert not find_other({"v1beta2.custom.metrics.k8s.io": OURS}, "system")


def test_a_group_of_which_another_serves_any_version_is_not():
    other = served_by("monitoring", "prometheus-adapter")
    words = find_other({"v1beta1.custom.metrics.k8s.io": other, "v1beta2.custom.metrics.k8s.io": OURS}, "system")
    assert words == "v1beta1.custom.metrics.k8s.io is served by monitoring/prometheus-adapter"
    assert find_other({"x": OURS}, "team-a")
    assert find_other({"x": {"spec": {}}}, "system") == "x is served by ?/?"


def test_the_registration_has_our_certificate_and_belongs_to_our_role():
    assert base64.b64decode(OURS["spec"]["caBundle"]) == b"certificate"
    assert OURS["metadata"]["ownerReferences"][0]["uid"] == "uid-1"
    assert is_registered(OURS, OURS)
    assert not is_registered(None, OURS)
    assert not is_registered(make_api_service("system", "uid-1", b"an older one"), OURS)


def test_the_api_server_is_known_by_its_name_where_it_has_one():
    config = {"data": {"requestheader-client-ca-file": "PEM", "requestheader-allowed-names": '["front"]'}}
    proxy = read_front_proxy(config)
    assert proxy == FrontProxy("PEM", frozenset({"front"}))
    assert proxy.is_it(seen_as("front"))
    assert not proxy.is_it(seen_as("stranger"))
    assert not proxy.is_it(None)
    assert not proxy.is_it({})
    assert FrontProxy("PEM", frozenset()).is_it(seen_as("anybody that its authority signed"))


@pytest.mark.parametrize("config", [None, {}, {"data": {"client-ca-file": "PEM"}}])
def test_an_api_server_that_passes_nothing_on_is_told_from_one_that_does(config):
    assert read_front_proxy(config) is None


def test_the_certificate_is_for_the_name_of_our_service():
    certificate = make_certificate("adapter.system.svc", NOW)
    authority = certificate.public.decode()
    assert make_context(certificate, authority).verify_mode is ssl.CERT_OPTIONAL
    trust = ssl.create_default_context(cadata=authority)
    (found,) = trust.get_ca_certs()
    assert found["subjectAltName"] == (("DNS", "adapter.system.svc"),)
    assert make_certificate("adapter.system.svc", NOW).private != certificate.private


def test_settings_are_read_and_a_wrong_one_is_named():
    assert AdapterSettings.from_environment({"LLMI_METRICS_ADAPTER_NAMESPACE": "system", "HOME": "/"}).port == 8443
    with pytest.raises(SettingsError, match="did you mean LLMI_METRICS_ADAPTER_PORT"):
        AdapterSettings.from_environment({"LLMI_METRICS_ADAPTER_PORTS": "1"})
    with pytest.raises(SettingsError, match="LLMI_METRICS_ADAPTER_NAMESPACE"):
        AdapterSettings.from_environment({})
