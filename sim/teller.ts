/**
 * A client that says what metrics are, in requests of their own, and asks nodes for that and for the exemplars that
 * writers sent beside their samples.
 */
import { checkExemplars } from './checkers/exemplars.ts';
import { checkMetadata } from './checkers/metadata.ts';
import type { Violation } from './checkers/answer.ts';
import type { History } from './history.ts';
import type { BesideTarget, LoadTarget, RequestEnd, SeriesSpan } from './load-target.ts';
import type { SimRandom } from './random.ts';
import { encodeMetadata } from './remote-write.ts';
import { type Said, type SaidMetadata, typeNumber } from './said.ts';
import { ownerMark, readExemplars, readMetadata } from './texts.ts';
import type { Outcome } from './world.ts';

const TIMEOUT_MS = 30_000;
const SAY_TIMEOUT_MS = 12_000;
const SPAN_MS = 20_000;
const ATTEMPTS_MAX = 10;
const RETRY_MS = 1000;
/** What was said before is said again, as senders do every minute. */
const AGAIN_CHANCE = 0.5;
/** All metrics are asked for, not one. */
const ALL_CHANCE = 0.3;

export interface TellerLoad {
  readonly target: LoadTarget;
  readonly history: History;
  readonly said: Said;
  readonly tenants: readonly string[];
  readonly isStopped: boolean;
  readonly counts: { metadataSaid: number };
  readonly onRequest: (end: RequestEnd) => void;
  tenantOf(series: number): string;
  /** Asks, counts, and looks for what belongs to others; undefined: no answer. */
  judge(
    node: string,
    asked: { readonly tenant: string; readonly startMs: number; readonly endMs: number },
    request: () => Promise<Outcome<string>>,
  ): Promise<string | undefined>;
  report(violations: readonly Violation[]): void;
}

export interface TellerOptions {
  readonly load: TellerLoad;
  readonly beside: BesideTarget;
  readonly everyMs: number;
}

/** Says and asks until the load stops. */
export async function runTeller(options: TellerOptions, random: SimRandom): Promise<void> {
  const { everyMs, load } = options;
  for (;;) {
    await load.target.sleep(everyMs * random.between(0.5, 1.5));
    if (load.isStopped) return;
    const node = random.pick(load.target.readyNodes());
    if (node === undefined) continue;
    const kind = random.below(3);
    if (kind === 0) await say(options, node, random);
    else if (kind === 1) await askMetadata(options, node, random);
    else await askExemplars(options, node, random);
  }
}

async function say({ load }: TellerOptions, node: string, random: SimRandom): Promise<void> {
  const { said, target, tenants } = load;
  const tenant = random.pick(tenants) ?? '';
  const known = random.pick(said.metadataOf(tenant));
  const isAgain = random.chance(AGAIN_CHANCE);
  const one: SaidMetadata =
    isAgain && known !== undefined ? known : said.newMetric(tenant, ownerMark(tenant));
  const body = encodeMetadata([{ ...one, type: typeNumber(one.type) }]);
  const askedAtMs = target.nowMs();
  const outcome = await target.push(node, tenant, body, SAY_TIMEOUT_MS);
  if (outcome.kind === 'answer') {
    one.acked = { askedAtMs, doneAtMs: target.nowMs() };
    load.counts.metadataSaid++;
    return;
  }
  // It is no write to a log: only that it failed is compared with what is promised.
  const seen = { node, startMs: askedAtMs, endMs: target.nowMs() };
  load.onRequest({ kind: 'push', ...seen, failed: outcome });
}

async function askMetadata(options: TellerOptions, node: string, random: SimRandom): Promise<void> {
  const { said, tenants } = options.load;
  const tenant = random.pick(tenants) ?? '';
  const one = random.pick(said.metadataOf(tenant));
  await readMetadataOf(options, node, tenant, random.chance(ALL_CHANCE) ? undefined : one?.metric);
}

/** Asks a node for one metric of a tenant, or for all. False: no answer. */
async function readMetadataOf(
  { beside, load }: TellerOptions,
  node: string,
  tenant: string,
  metric: string | undefined,
): Promise<boolean> {
  const { said, target } = load;
  const all = said.metadataOf(tenant);
  const askedAtMs = target.nowMs();
  const atMs = target.epochMs + Math.floor(askedAtMs);
  const text = await load.judge(node, { tenant, startMs: atMs, endMs: atMs }, () =>
    beside.metadata(node, tenant, metric, TIMEOUT_MS),
  );
  if (text === undefined) return false;
  const owedSinceMs = beside.owedSince.metadataMs();
  const told = readMetadata(text);
  load.report(checkMetadata(all, { node, metric, askedAtMs, owedSinceMs, told }));
  return true;
}

async function askExemplars(
  options: TellerOptions,
  node: string,
  random: SimRandom,
): Promise<void> {
  const { load } = options;
  const one = random.pick(load.said.exemplars);
  if (one === undefined) return;
  const { series, timestampMs } = one;
  const fromMs = timestampMs - random.below(SPAN_MS);
  const toMs = timestampMs + random.below(SPAN_MS);
  await readExemplarsOf(options, node, { tenant: load.tenantOf(series), series, fromMs, toMs });
}

/** Asks a node for the exemplars of a series. False: no answer. */
async function readExemplarsOf(
  { beside, load }: TellerOptions,
  node: string,
  span: SeriesSpan,
): Promise<boolean> {
  const { history, said, target } = load;
  const { fromMs, series, toMs } = span;
  const askedAtMs = target.nowMs();
  const text = await load.judge(node, { ...span, startMs: fromMs, endMs: toMs }, () =>
    beside.exemplars(node, span, TIMEOUT_MS),
  );
  if (text === undefined) return false;
  const owedSinceMs = beside.owedSince.exemplarsMs();
  const asked = { node, series, fromMs, toMs, askedAtMs, owedSinceMs };
  load.report(checkExemplars(said, history, { ...asked, told: readExemplars(text) }));
  return true;
}

/** Asks a node for everything that was said, each until it is answered. */
export async function auditTold(options: TellerOptions, node: string): Promise<void> {
  const { load } = options;
  const { epochMs } = load.target;
  for (const tenant of load.tenants) {
    await insist(load, `${node} cannot tell of metrics of ${tenant}`, () =>
      readMetadataOf(options, node, tenant, undefined),
    );
  }
  for (const series of new Set(load.said.exemplars.map((one) => one.series))) {
    const toMs = epochMs + Math.ceil(load.target.nowMs());
    const span = { tenant: load.tenantOf(series), series, fromMs: epochMs, toMs };
    await insist(load, `${node} cannot tell exemplars of series ${series}`, () =>
      readExemplarsOf(options, node, span),
    );
  }
}

async function insist(load: TellerLoad, what: string, ask: () => Promise<boolean>): Promise<void> {
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    if (await ask()) return;
    await load.target.sleep(RETRY_MS);
  }
  load.report([{ invariant: 'I23', what }]);
}
