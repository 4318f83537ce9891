-- What Argo CD shows for an LLMInference. It runs this for each one, with the object in `obj`; docs/gitops.md says
-- how to install it.
--
--   paused                                    Suspended, as a paused Deployment is
--   not yet seen by the operator              Progressing
--   Stalled: stays so until somebody acts     Degraded
--   Ready, or scaled to zero as asked         Healthy, as a Deployment of no replicas is; a held sync would never end
--   no node for a replica                     Progressing: a node may be on its way
--   any other fault (Degraded)                Degraded
--   anything else                             Progressing

local status = obj.status or {}
local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  conditions[condition.type] = condition
end
local ready = conditions.Ready or {status = "Unknown", reason = "Pending", message = "Waiting for the operator."}

local function holds(kind)
  return conditions[kind] ~= nil and conditions[kind].status == "True"
end

local function judge()
  if obj.spec ~= nil and obj.spec.paused == true then
    return "Suspended", "Paused: the operator changes nothing until spec.paused is false."
  end
  if status.observedGeneration ~= obj.metadata.generation then
    return "Progressing", "Waiting for the operator to see this version."
  end
  if holds("Stalled") then
    return "Degraded"
  end
  if holds("Ready") or ready.reason == "ScaledToZero" then
    return "Healthy"
  end
  if holds("Degraded") and ready.reason ~= "Unschedulable" then
    return "Degraded"
  end
  return "Progressing"
end

local verdict, words = judge()
return {status = verdict, message = words or ready.message}
