/** `SELECTOR:PERIOD`, as VictoriaMetrics spells retention of some series only. */
import { z } from 'zod';
import { parseSelector } from '../promql/index.ts';
import type { RetentionRule } from '../storage/index.ts';
import { durationSchema } from './durations.ts';

const FILTERS_MAX = 100;

/** `SELECTOR:PERIOD`: what of some series is older counts as deleted. */
export const retentionFiltersSchema = z
  .array(z.string().transform(parseRetentionFilter))
  .max(FILTERS_MAX, `must be at most ${FILTERS_MAX} filters`);

function parseRetentionFilter(text: string, context: z.RefinementCtx): RetentionRule {
  const at = text.lastIndexOf(':');
  const period = durationSchema.safeParse(text.slice(at + 1));
  const refuse = (why: string): RetentionRule => {
    const message = `'${text}' is not SELECTOR:PERIOD, such as {env="dev"}:30d: ${why}`;
    context.addIssue({ code: 'custom', message });
    return z.NEVER;
  };
  if (at < 0 || !period.success) return refuse('it does not end with a colon and a duration');
  try {
    const matchers = parseSelector(text.slice(0, at));
    // What is between must stay: whitespace in a quoted value tells rules apart.
    return { text: text.trim(), matchers, periodMs: period.data };
  } catch (thrown) {
    return refuse(thrown instanceof Error ? thrown.message : 'the selector cannot be read');
  }
}
