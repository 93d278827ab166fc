-- Health of a MasterTarget: what is seen of an appliance. Nothing is under way there, so that "not usable" is Degraded.
-- The answer for anything that the controller has not looked at since its last change.
local function unobserved()
  local status = obj.status
  if status == nil or status.observedGeneration == nil or status.conditions == nil or #status.conditions == 0 then
    return true
  end
  return obj.metadata.generation ~= nil and status.observedGeneration < obj.metadata.generation
end

local function condition(kind)
  for _, c in ipairs(obj.status.conditions) do
    if c.type == kind then
      return c
    end
  end
  return nil
end

local function answer(status, message)
  return { status = status, message = message or "" }
end

if unobserved() then
  return answer("Progressing", "The controller has not looked at it yet.")
end

local ready = condition("Ready")
if ready ~= nil and ready.status == "True" then
  return answer("Healthy", ready.message)
elseif ready ~= nil and ready.status == "False" then
  return answer("Degraded", ready.message)
end
return answer("Progressing", ready ~= nil and ready.message or "")
