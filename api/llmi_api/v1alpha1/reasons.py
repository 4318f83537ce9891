"""What each reason means, a sentence as users read it in WHY, and what to do: the source of docs/troubleshooting.md."""

from dataclasses import dataclass

from llmi_api.v1alpha1.conditions import Reason
from llmi_api.v1alpha1.status import UNSEEN


@dataclass(frozen=True)
class Explanation:
    """A reason, explained.

    Attributes:
        meaning: When the operator gives this reason.
        example: What WHY says then, word for word in one case; empty where WHY is empty.
        step: What to do.
    """

    meaning: str
    example: str
    step: str


WELL = {
    Reason.SERVING: Explanation("All replicas of this generation answer.", "", "Nothing."),
    Reason.SCALED_TO_ZERO: Explanation(
        "`spec.replicas` is 0; or KEDA has taken the last replica away, by `spec.autoscaling.minReplicas: 0`.",
        "Nothing answers, as asked for: set spec.replicas to 1 or more to serve.",
        "Set `spec.replicas` to 1 or more; where KEDA starts one, send a request through what wakes it "
        "([scaling.md](scaling.md#to-zero)).",
    ),
    Reason.PAUSED: Explanation(
        "`spec.paused` is true: the operator changes nothing for this resource.",
        "Paused, as asked for: edits wait until spec.paused is false.",
        "Set `spec.paused` to false.",
    ),
    Reason.DELETING: Explanation(
        "The resource is being deleted, and something holds it.",
        "It is being deleted, and waits for the finalizer example.com/backup: whoever set that must take it away.",
        "Wait, or see to whoever set the finalizer.",
    ),
}

ON_ITS_WAY = {
    Reason.PENDING: Explanation(
        "No operator has seen the resource yet; the API server says so by itself.",
        UNSEEN,
        "Wait; if it stays, see whether an operator runs and serves this namespace.",
    ),
    Reason.QUEUED: Explanation(
        "A scheduling gate holds a replica back before a node is looked for, mostly Kueue's.",
        "The replica bert-1-a waits in the queue gpus until Kueue admits it: see kubectl -n models get workloads, or "
        "correct spec.scheduling.queueName.",
        "Wait for the queue's quota, or name another queue.",
    ),
    Reason.STARTING: Explanation(
        "Pods are being made, or have a node and start.", "The replicas are being started.", "Wait."
    ),
    Reason.PULLING_IMAGE: Explanation(
        "A node is pulling an image.",
        "The node worker-1 has been pulling the image llminference/server:dev for 1 min 30 s.",
        "Wait; a large image takes minutes on a node that has never had it.",
    ),
    Reason.DOWNLOADING: Explanation(
        "A replica downloads the model's files.",
        "Downloading google-bert/bert-large-uncased: 0.5 of 1.3 GB (40 %) at 85 MB/s.",
        "Wait.",
    ),
    Reason.LOADING: Explanation(
        "A replica has the files and loads the model, warms up or verifies.",
        "The server is loading google-bert/bert-large-uncased: weights, 0.7 of 1.3 GB (50 %).",
        "Wait.",
    ),
    Reason.SCALING: Explanation(
        "Replicas are being added, replaced or stopped; the others answer.",
        "1 of 2 replicas answer, more are starting.",
        "Wait.",
    ),
}

NOTICES = {
    Reason.ADDRESS_PENDING: Explanation(
        "All replicas answer, but the load balancer has no address yet.",
        "Waiting for a load balancer address; inside the cluster the URL answers: without a load balancer here, "
        "use spec.service.type NodePort or ClusterIP.",
        "Wait, or choose another `spec.service.type`.",
    ),
    Reason.BUDGET_HELD: Explanation(
        "All replicas that `spec.budget` pays for answer, and more were asked for.",
        "At most 2 of 8 replicas run: each costs up to 1.0060 USD an hour, and the 2.50 of spec.budget.perHour pay "
        "for 2. Raise spec.budget.perHour, or lower what a replica requests.",
        "Raise `spec.budget.perHour`, or lower `spec.resources` or the accelerators of a replica.",
    ),
    Reason.BUDGET_UNKNOWN: Explanation(
        "All replicas answer, but what one costs is not known, so that `spec.budget` holds nothing back.",
        "spec.budget holds nothing back, because the operator has no list of prices: give it one, see docs/cost.md.",
        "Complete the list of prices (docs/cost.md), or take `spec.budget` away.",
    ),
    Reason.AUTOSCALER_BLIND: Explanation(
        "All replicas answer, but the autoscaler has had no metrics for two minutes, or none of requests in flight, or "
        "another autoscaler is at the same replicas.",
        "The autoscaler gets no metrics, so the number of replicas stays (no metrics returned from resource metrics "
        "API): install metrics-server, or set spec.replicas in place of spec.autoscaling.",
        "Install metrics-server, or for `inFlightPerReplica` a custom metrics API; delete an autoscaler that is not "
        "the operator's; or set `spec.replicas`. "
        "[scaling.md](scaling.md) has both.",
    ),
    Reason.MIXED_REVISIONS: Explanation(
        "All replicas answer, but not all from the commit that `status.model.revision` names.",
        "The replica bert-1-b serves commit bbbbbbbbbbbb, not the pinned aaaaaaaaaaaa: delete that pod, "
        "and its successor fetches the pinned one.",
        "Delete the pod that differs.",
    ),
}

SPEC_AND_RIGHTS = {
    Reason.INVALID_SPEC: Explanation(
        "The stored spec breaks a rule that the API server did not know when it was written.",
        "Set replicas or autoscaling, not both: the autoscaler decides how many replicas run.",
        "Correct the spec. What ran before goes on.",
    ),
    Reason.NAME_TAKEN: Explanation(
        "An object that the operator needs has its name, and belongs to somebody else.",
        "There already is a Service bert that is not ours (it belongs to StatefulSet db), so it is left alone: delete "
        "or rename it, or give this LLMInference another name.",
        "Delete or rename the other object, or choose another name.",
    ),
    Reason.REFUSED: Explanation(
        "The API server, or an admission policy of the cluster, refuses an object or its pods.",
        "The API server refuses the Deployment bert: spec.template.spec.tolerations[0]: bad value. Correct the spec, "
        "or ask who set this rule.",
        "Correct what its words name, or ask whoever set the policy.",
    ),
    Reason.FORBIDDEN: Explanation(
        "The operator lacks a right: the sentence names verb and kind.",
        'The operator may not apply Service bert: grant it that in its Role (User "operator" cannot patch resource '
        '"services").',
        "Apply the roles of this version from `deploy/` anew.",
    ),
    Reason.API_MISSING: Explanation(
        "The spec asks for an object of a kind that the cluster does not have.",
        "This cluster has no PodMonitor: install what brings it, or set spec.observability.metrics.podMonitor to "
        "false.",
        "Install what brings the kind, or take the field away.",
    ),
    Reason.API_FAILING: Explanation(
        "The API server fails on an object that the operator needs, mostly because a webhook does not answer.",
        'The API server fails to apply the Service bert: failed calling webhook "costs.example.com": context deadline '
        "exceeded. It is tried again; see to the webhook that is named, or to the API server.",
        "See to the webhook that the sentence names, or to the API server. The operator goes on trying.",
    ),
    Reason.OPERATOR_FAULT: Explanation(
        "The operator itself failed on this resource; others are not concerned.",
        "The operator failed on this resource (KeyError) and tries again. What runs goes on. Please report it with the "
        "traceback from the operator's log.",
        "Report it with the traceback from the operator's log; an edit of the spec may get around it.",
    ),
    Reason.QUOTA_EXCEEDED: Explanation(
        "A ResourceQuota of the namespace stops pods from being made.",
        "No more pods fit the namespace's ResourceQuota (q, requested: memory=3Gi, used: memory=0, limited: "
        "memory=1Gi): lower spec.resources or spec.replicas, or have the quota raised.",
        "Ask for less, or have the quota raised.",
    ),
    Reason.LIMIT_RANGE_EXCEEDED: Explanation(
        "A LimitRange of the namespace refuses the pods.",
        "The namespace's LimitRange refuses the pods: maximum memory usage per Container is 1Gi, but limit is 3Gi. "
        "Set spec.resources within it, or have the LimitRange changed.",
        "Set `spec.resources` within the range, or have it changed.",
    ),
    Reason.POD_SECURITY_REFUSED: Explanation(
        "Pod Security of the namespace refuses the pods. Ours pass `restricted`, so something changed them.",
        'Pod Security of the namespace refuses the pods: violates PodSecurity "restricted:latest": privileged '
        "(container). Look for a webhook that changes pods, or for an edit of the Deployment bert.",
        "Find the webhook or the person that changes the pods.",
    ),
}

NODES = {
    Reason.UNSCHEDULABLE: Explanation(
        "No node takes a replica; the sentence counts the causes.",
        "0/3 nodes have a free nvidia.com/gpu: 1 has all 2 in use, 1 has the taint spot, 1 has none. Free one, "
        "tolerate spot in spec.scheduling.tolerations, or add a node.",
        "Free what is in use, tolerate the taint, correct the selector, or add a node. With the optional role in "
        "`deploy/cluster-reader` the operator can count exactly.",
    ),
    Reason.VOLUME_UNAVAILABLE: Explanation(
        "A claim does not exist, has no volume, lies in another zone, or cannot be mounted.",
        "The claim models does not exist: create it in this namespace, or correct spec.model.claim.name.",
        "See `kubectl describe pvc`.",
    ),
    Reason.IMAGE_UNAVAILABLE: Explanation(
        "A node cannot get an image: it does not exist, may not be pulled, or the registry refuses for now.",
        "The image corp/server:1 does not exist: correct spec.engine.image, or push the image.",
        "Correct the image, give the pods a pull secret, or wait where the registry limits the rate.",
    ),
    Reason.SECRET_MISSING: Explanation(
        "A Secret that the spec names, or its key, does not exist.",
        "The Secret hf for spec.model.tokenSecret does not exist: create it in the namespace models, or correct "
        "spec.model.tokenSecret.",
        "Create the Secret. The kubelet looks again within two minutes.",
    ),
    Reason.EVICTED: Explanation(
        "A node threw a replica out, mostly for memory or disk.",
        "A node threw a replica out: The node was low on disk. Raise spec.resources.requests, so that it goes where "
        "there is room.",
        "Raise `spec.resources.requests`.",
    ),
    Reason.NODE_LOST: Explanation(
        "The node of a replica does not report any more.",
        "The node worker-1 of the replica bert-1-a does not report: the replica is replaced 5 minutes after that. "
        "See kubectl describe node worker-1.",
        "Bring the node back, or delete it: its pods are replaced at once then.",
    ),
}

CONTAINERS = {
    Reason.OUT_OF_MEMORY: Explanation(
        "The kernel killed a container at its memory limit, or the server saw before loading that the model does not "
        "fit (code `OutOfMemory`, with needed and free), or the weights are more than the GPUs of a replica have.",
        "The server was killed at its memory limit of 512Mi: raise spec.resources.limits.memory and "
        "spec.resources.requests.memory, or lower spec.limits.maxBatchTokens.",
        "Raise the memory limit, name a GPU with more memory (docs/gpu.md), or choose a smaller model.",
    ),
    Reason.CRASH_LOOP: Explanation(
        "A container keeps ending without a reason of its own; the sentence has its last line.",
        "The server ended with exit code 1 (ValueError: no): see kubectl logs bert-1-a -c server --previous.",
        "Read its log.",
    ),
    Reason.PROBE_FAILING: Explanation(
        "The server runs but does not answer `/readyz`: not within the start-up time, or not any more.",
        "The server did not answer /readyz within 100 s and was restarted: raise spec.rollout.startupTimeoutSeconds, "
        "or see what it does with kubectl logs bert-1-a -c server.",
        "Raise `spec.rollout.startupTimeoutSeconds`, or read its log.",
    ),
    Reason.ROLLOUT_STUCK: Explanation(
        "New replicas did not become ready in time, for no cause that the operator knows.",
        "The new replicas did not become ready in time: see kubectl describe pods -l llminference.dev/llminference="
        "bert, or raise spec.rollout.startupTimeoutSeconds.",
        "Describe the pods; tell us what you find.",
    ),
}

FETCH_CODES = {
    Reason.REPOSITORY_UNKNOWN: Explanation(
        "The hub has no such repository, or it is private.",
        "The repository a/b is unknown to https://huggingface.co, or private (RepositoryUnknown). Check the model's "
        "id; for a private model give a token that may read it.",
        "Check `spec.model.id`; for a private model set `spec.model.tokenSecret`.",
    ),
    Reason.REVISION_UNKNOWN: Explanation(
        "The repository has no such branch, tag or commit.",
        "The repository a/b has no revision v9 (RevisionUnknown). Set revision to a branch, tag or commit that the "
        "repository has, or leave it out.",
        "Correct `spec.model.revision`.",
    ),
    Reason.ACCESS_GATED: Explanation(
        "The repository is gated, and the token's account was not granted access.",
        "The repository a/b is gated and access was not granted (AccessGated). Ask for access at "
        "https://huggingface.co/a/b, and give the token of that account.",
        "Ask for access on the model's page.",
    ),
    Reason.TOKEN_MISSING: Explanation(
        "The hub wants a token, and none was given or the Secret's key is empty.",
        "https://huggingface.co wants a token for a/b, and none was given (TokenMissing). Put a token into a Secret "
        "and name it in spec.model.tokenSecret.",
        "Set `spec.model.tokenSecret`.",
    ),
    Reason.TOKEN_REFUSED: Explanation(
        "The hub refused the token.",
        "https://huggingface.co refused the token for a/b (TokenRefused). Check that the token is valid, not expired, "
        "and may read this model.",
        "Put a valid token into the Secret, then delete the pods.",
    ),
    Reason.NO_SAFETENSORS: Explanation(
        "There are no safetensors weights; the sentence names what is there instead.",
        "The repository a/b has pytorch_model.bin and no safetensors (NoSafetensors). Choose a revision or a model "
        "with safetensors weights, or convert them; pickles are refused.",
        "Choose another revision or model, or convert the weights.",
    ),
    Reason.DISK_FULL: Explanation(
        "The files do not fit on the volume; said with needed and free before anything is fetched.",
        "The model needs 1281 MiB of disk in /model and 900 MiB are free (DiskFull). Give the model's volume more "
        "room, or choose a smaller model.",
        "Raise `spec.model.cache.size`, or free the claim or the node's disk.",
    ),
    Reason.HASH_MISMATCH: Explanation(
        "What arrived is not what the hub says it is, again and again.",
        "The file model.safetensors is not what the hub says it is (HashMismatch). A proxy or mirror may damage "
        "files; check it, or set spec.model.endpoint to another.",
        "Check the proxy or mirror.",
    ),
    Reason.HUB_UNREACHABLE: Explanation(
        "The hub does not answer, after bounded tries; it is tried again.",
        "https://huggingface.co does not answer (HubUnreachable). Check the network, proxy and policy between the "
        "pod and the hub, or set spec.model.endpoint.",
        "Check the network from the namespace, or set `spec.model.endpoint`.",
    ),
    Reason.FETCH_FAILED: Explanation(
        "The download gave up with a code that this operator does not know.",
        "The moon is full (MoonFull). Wait a week.",
        "Do what its sentence says; upgrade the operator, which is older than the server's image.",
    ),
}

SERVER_CODES = {
    Reason.INVALID_SETTINGS: Explanation(
        "A setting is unknown, missing, wrong or contradicts another; or a folder cannot be written.",
        "maxInputTokens is 9999 and the model takes 512 (InvalidSettings). Set maxInputTokens to at most 512, or leave "
        "it out.",
        "Correct the field that it names.",
    ),
    Reason.MODEL_NOT_FOUND: Explanation(
        "There is no model at the given place: no folder, or no `config.json`.",
        "The folder /model has no config.json (ModelNotFound). Check the source of the model, and its path inside the "
        "claim or image.",
        "Check `spec.model.claim.path` or `spec.model.image.path`.",
    ),
    Reason.MODEL_INVALID: Explanation(
        "Files are damaged, cut off or contradictory.",
        "The file model.safetensors is cut off (ModelInvalid). Check the model's files, or choose another revision or "
        "model.",
        "Check the files.",
    ),
    Reason.TASK_MISMATCH: Explanation(
        "The model has no head for the task, or its weights are missing; or its architecture is another one.",
        "BertForMaskedLM cannot do text-classification (TaskMismatch). Set the task fill-mask, or choose another "
        "model.",
        "Correct `spec.task`, or choose another model.",
    ),
    Reason.REMOTE_CODE_NEEDED: Explanation(
        "The model wants code from its repository, which is never run.",
        "The model a/b wants code from its repository (RemoteCodeNeeded). Choose a model whose architecture is part of "
        "Transformers.",
        "Choose another model.",
    ),
    Reason.ACCELERATOR_ABSENT: Explanation(
        "A GPU was asked for, and the server finds none that it can use.",
        "A CUDA device was asked for and none is usable here (AcceleratorAbsent). Check that the pod requests a GPU, "
        "that the node's driver works, and that the image has CUDA.",
        "Use the CUDA image; check the node's driver.",
    ),
    Reason.PRECISION_UNSUPPORTED: Explanation(
        "The device cannot compute in that number format.",
        "A CPU cannot compute in float16 (PrecisionUnsupported). Set precision to float32, or auto.",
        "Set `spec.engine.precision` to auto.",
    ),
    Reason.LOAD_FAILED: Explanation(
        "Loading failed in another way; the log has the traceback.",
        "Loading the model failed with KeyError (LoadFailed). See the log for the traceback.",
        "Read the log: `kubectl logs POD -c server --previous`.",
    ),
    Reason.VERIFY_FAILED: Explanation(
        "A replica answered a question of `spec.verify` otherwise than expected, so it does not serve.",
        'The answer to "The capital of France is [MASK]." was london and paris was expected (VerifyFailed). Check the '
        "model and its revision, or correct spec.verify.",
        "Check the model, or correct `spec.verify`.",
    ),
    Reason.START_FAILED: Explanation(
        "The server gave up with a code that this operator does not know.",
        "The sun is down (SunDown). Wait until morning.",
        "Do what its sentence says; upgrade the operator, which is older than the server's image.",
    ),
}

SECTIONS = {
    "As it should be": WELL,
    "On its way": ON_ITS_WAY,
    "It answers, but you should know": NOTICES,
    "Spec, rights and policies": SPEC_AND_RIGHTS,
    "Nodes, volumes, images and Secrets": NODES,
    "Containers that end or stay silent": CONTAINERS,
    "The download gave up": FETCH_CODES,
    "The server gave up while starting": SERVER_CODES,
}
EXPLANATIONS: dict[Reason, Explanation] = {
    reason: explanation for section in SECTIONS.values() for reason, explanation in section.items()
}
