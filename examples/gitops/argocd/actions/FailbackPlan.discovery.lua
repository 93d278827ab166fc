-- Which actions are offered. Approving is none of them: an approval is an object, made by a person in their own name.
local completed = obj.status ~= nil and obj.status.completedAt ~= nil
local suspended = obj.spec.suspend == true
return {
  suspend = { disabled = completed or suspended },
  resume = { disabled = completed or not suspended },
  retry = { disabled = completed },
}
