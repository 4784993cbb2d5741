/**
 * The value types of PromQL and their names in messages. Every expression has exactly one type,
 * known when it is parsed; the engine never has to guess.
 *
 *   scalar  one number per step          vector  one sample per series and step
 *   string  a constant text              matrix  a window of samples per series and step
 */

export type ValueType = 'matrix' | 'scalar' | 'string' | 'vector';

/** The type as Prometheus documents it: `instant vector`, `range vector`, `scalar`, `string`. */
export function documentedType(type: ValueType): string {
  if (type === 'vector') return 'instant vector';
  if (type === 'matrix') return 'range vector';
  return type;
}
