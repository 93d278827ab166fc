-- Goes on.
obj.spec.suspend = false
return obj
