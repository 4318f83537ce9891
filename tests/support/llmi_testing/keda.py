"""KEDA's type ScaledObject, as KEDA's own module has it, and KEDA's part where no KEDA runs."""

from typing import Any

from llmi_testing.module_files import read_module_file

_MODULE = "github.com/kedacore/keda/v2"
_FILE = "config/crd/bases/keda.sh_scaledobjects.yaml"
NAME = "scaledobjects.keda.sh"


def read_scaled_object_type() -> dict[str, Any]:
    """Read the CustomResourceDefinition."""
    return read_module_file("keda", _MODULE, _FILE)


def make_autoscaler(scaled_object: dict[str, Any]) -> dict[str, Any]:
    """Make what KEDA makes of a ScaledObject: named and labelled as it does, and owned by it."""
    metadata, spec = scaled_object["metadata"], scaled_object["spec"]
    own = {"app.kubernetes.io/managed-by": "keda-operator", "app.kubernetes.io/part-of": metadata["name"]}
    owner = {
        "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "name": metadata["name"], "uid": metadata["uid"],
        "controller": True, "blockOwnerDeletion": True,
    }  # fmt: skip
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {
            "name": f"keda-hpa-{metadata['name']}",
            "namespace": metadata["namespace"],
            # The ScaledObject's labels win over its own.
            "labels": own | metadata["labels"],
            "ownerReferences": [owner],
        },
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": metadata["name"]},
            "minReplicas": max(spec["minReplicaCount"], 1),
            "maxReplicas": spec["maxReplicaCount"],
            "metrics": [
                {
                    "type": "External",
                    "external": {
                        "metric": {"name": "s0-metric-api-llmi_requests_in_flight"},
                        "target": {"type": "AverageValue", "averageValue": "10"},
                    },
                }
            ],
        },
    }
