/** Durations as people write them, in the configuration file, variables and flags. */
import { z } from 'zod';

const DURATION_UNITS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};
const DURATION_MAX_MS = 10 * 365 * 86_400_000;

/** A positive duration such as `500ms`, `15s`, `3h`, `1h30m`; milliseconds out. */
export const durationSchema = z.string().transform((text, context) => {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d|w)/g)];
  const ms = parts.reduce(
    (sum, part) => sum + Number(part[1]) * (DURATION_UNITS[part[2] ?? ''] ?? 0),
    0,
  );
  if (
    parts.length === 0 ||
    parts.map((part) => part[0]).join('') !== text ||
    ms <= 0 ||
    ms > DURATION_MAX_MS
  ) {
    context.addIssue({
      code: 'custom',
      message: `'${text}' is not a duration: write a positive number with a unit, such as 30s, 5m or 3h (at most 10 years)`,
    });
    return z.NEVER;
  }
  return ms;
});
