-- Health of a FailbackApproval. One that ran out is no fault: it may have served its purpose.
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

local valid = condition("Valid")
if valid == nil then
  return answer("Progressing", "")
elseif valid.status == "True" then
  return answer("Healthy", valid.message)
elseif valid.reason == "Expired" then
  return answer("Suspended", valid.message)
elseif valid.reason == "PlanNotFound" then
  return answer("Progressing", valid.message)
end
return answer("Degraded", valid.message)
