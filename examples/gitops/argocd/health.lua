-- How well a SelfRoutingCascade does, for Argo CD. A cascade that trains or rolls out is progressing and still serves.
local hs = { status = "Progressing", message = "waiting for the operator" }
local status = obj.status
if status == nil or status.conditions == nil or status.observedGeneration ~= obj.metadata.generation then
  return hs
end
local found = {}
for _, condition in ipairs(status.conditions) do
  found[condition.type] = condition
end
local invalid, ready, degraded = found.SpecValid, found.Ready, found.Degraded
if invalid ~= nil and invalid.status == "False" then
  return { status = "Degraded", message = invalid.message }
end
if degraded ~= nil and degraded.status == "True" then
  return { status = "Degraded", message = degraded.message }
end
if ready == nil then
  return hs
end
if ready.status == "True" then
  return { status = "Healthy", message = ready.message }
end
return { status = "Progressing", message = ready.message }
