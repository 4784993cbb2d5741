/** The value, which from now on nobody can change, nor anything in it: who tries throws. */
export function frozen<Value>(value: Value): Value {
  if (typeof value !== 'object' || value === null) return value;
  if (Object.isFrozen(value) || ArrayBuffer.isView(value)) return value;
  Object.freeze(value);
  for (const key of Reflect.ownKeys(value)) frozen(Reflect.get(value, key));
  return value;
}
