-- Health of a FailbackPlan. A plan that waits for a person by design is Suspended, one that needs a person because
-- something went wrong is Degraded.
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

-- Reasons for which a plan waits by design.
local waits = { ApprovalRequired = true, Suspended = true, WindowClosed = true, DryRun = true, Cancelled = true }
-- Reasons that need a person while other machines still move, so that the plan as a whole is not stalled.
local wrong = { ItemStalled = true, ItemNotFound = true }

local stalled = condition("Stalled")
if stalled ~= nil and stalled.status == "True" then
  return answer("Degraded", stalled.message)
end
local ready = condition("Ready")
if ready == nil then
  return answer("Progressing", "")
elseif ready.status == "True" then
  return answer("Healthy", ready.message)
elseif waits[ready.reason] then
  return answer("Suspended", ready.message)
elseif wrong[ready.reason] then
  return answer("Degraded", ready.message)
end
return answer("Progressing", ready.message)
