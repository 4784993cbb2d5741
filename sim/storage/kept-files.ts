/**
 * The small files of a data directory through every crash: who it is, whom it knows, what it lost, and from
 * when on a tenant's data is whole; and the copy of the requests to delete series. Each is replaced as a whole, but
 * for the copy, which is added to, and what follows relies on it.
 *
 *   live ──power at call k──► open ──power──► open           k = 1, 1 + stride, …
 */
import { openIdentity } from '../../membership/identity.ts';
import { LossNote } from '../../membership/loss-note.ts';
import {
  RegistryFile,
  emptyRegistry,
  loadRegistry,
  mergeRecords,
} from '../../membership/registry/index.ts';
import { assert } from '../../model/assert.ts';
import { parseTenantId } from '../../model/ids.ts';
import type { Ciphers, Platform } from '../../platform/platform.ts';
import { makeDurableDirectory } from '../../platform/durable-directory.ts';
import { parseBlockId } from '../../storage/block/ulid.ts';
import { type CopiedRequest, RequestCopy } from '../../storage/deletion/copy.ts';
import { readHorizon, writeHorizon } from '../../storage/horizon.ts';
import type { Violation } from '../checkers/answer.ts';
import { type KeptNotes, NOTHING_KEPT, checkKept } from '../checkers/kept.ts';
import { EPOCH_MS } from '../clock.ts';
import { World } from '../world.ts';

export interface KeptFilesOptions {
  readonly seed: number;
  readonly ciphers: Ciphers;
  /** Crash at every so many disk calls. */
  readonly stride: number;
}

const DATA_DIRECTORY = '/data';
const TENANT_DIRECTORY = '/data/tenants/t';
const ROUNDS = 6;
const TIMEOUT_MS = 60_000;
/** So many in each round, of a sector and more each. */
const REQUESTS_PER_ROUND = 3;
const REQUEST_VALUE_CHARS = 600;

interface KeptFiles {
  /** What was there. */
  readonly found: KeptNotes;
  /** One change of each file; `onKept` when it is durable. */
  change(round: number, onKept: (more: Partial<KeptNotes>) => void): Promise<void>;
}

async function openFiles({ disk, log, random }: Platform): Promise<KeptFiles> {
  const directory = DATA_DIRECTORY;
  const identity = await openIdentity({ disk, random, dataDirectory: directory });
  let registry = (await loadRegistry(disk, directory)) ?? emptyRegistry();
  const note = await LossNote.open(disk, directory, EPOCH_MS);
  await makeDurableDirectory(disk, TENANT_DIRECTORY, 2);
  const horizonMs = await readHorizon(disk, TENANT_DIRECTORY);
  const copy = new RequestCopy(disk, directory, log);
  const requests = [...((await copy.read()) ?? [])];
  const requestCount = requests.length;
  const file = new RegistryFile(disk, directory);
  const { bootCounter, storeId } = identity;
  const stepCount = registry.rfSteps.size;
  const lossBeforeMs = note.current?.beforeMs ?? 0;
  return {
    found: { storeId, bootCounter, stepCount, lossBeforeMs, horizonMs, requestCount },
    async change(round, onKept) {
      const atMs = EPOCH_MS + round;
      const step = { kind: 'rf-step', rf: round, atMs, isCommitted: true } as const;
      registry = mergeRecords(registry, [step]).registry;
      await file.save(registry);
      onKept({ stepCount: registry.rfSteps.size });
      await note.add({ fromMs: 0, beforeMs: atMs });
      onKept({ lossBeforeMs: atMs });
      await writeHorizon(disk, TENANT_DIRECTORY, atMs);
      onKept({ horizonMs: atMs });
      const added = requestsOf(round);
      requests.push(...added);
      await copy.put(added, () => requests);
      onKept({ requestCount: requests.length });
    },
  };
}

function requestsOf(round: number): readonly CopiedRequest[] {
  return Array.from({ length: REQUESTS_PER_ROUND }, (_unused, i) => {
    const id = parseBlockId(`01ARZ3NDEKTSV4RRFFQ69G5F${round}${i}`);
    assert(id !== undefined, 'sim: the id of a request does not hold');
    const value = String(i).repeat(REQUEST_VALUE_CHARS);
    const selectors = [[{ name: 'job', type: '=', value } as const]];
    const range = { minTimeMs: 0, maxTimeMs: round };
    const request = { id, createdAtMs: EPOCH_MS, range, selectors };
    return { tenant: parseTenantId('t'), id, marks: [], request };
  });
}

/** Every crash of a directory's life; how many there were, and what was wrong after them. */
export async function crashKeptFiles(
  options: KeptFilesOptions,
): Promise<{ readonly violations: readonly Violation[]; readonly crashPoints: number }> {
  const violations: Violation[] = [];
  let crashPoints = 0;
  for (let call = 1; ; call += options.stride) {
    const run = new KeptRun(options, call);
    const isOver = await run.crash();
    violations.push(...run.violations);
    if (isOver) return { violations, crashPoints };
    crashPoints++;
  }
}

class KeptRun {
  readonly violations: Violation[] = [];
  readonly #world: World<KeptFiles>;
  readonly #call: number;
  #promised = NOTHING_KEPT;
  #isDead = false;

  constructor({ ciphers, seed }: KeptFilesOptions, call: number) {
    this.#call = call;
    const jobs = new Map();
    const base = { seed: seed + call, machineCount: 1, ciphers, jobs };
    this.#world = new World<KeptFiles>({ ...base, bootNode: openFiles });
  }

  /** True: the life ended before it came to that call. */
  async crash(): Promise<boolean> {
    const world = this.#world;
    const machine = world.machines[0]!;
    let count = 0;
    await world.run(async () => {
      machine.disk.failWhen = () => {
        if (++count === this.#call) {
          this.#isDead = true;
          world.loop.schedule(world.loop.world, 0, () => world.losePower(machine));
        }
        return undefined;
      };
      await Promise.race([this.#live(), world.until(() => this.#isDead, TIMEOUT_MS, 1)]);
      machine.disk.failWhen = () => undefined;
      if (!this.#isDead) return;
      await world.sleep(1);
      await this.#open('after it');
      world.losePower(machine);
      await this.#open('after another loss of power');
    });
    for (const what of world.broken) this.violations.push({ invariant: 'I32', what });
    return !this.#isDead;
  }

  async #live(): Promise<void> {
    const world = this.#world;
    const machine = world.machines[0]!;
    const outcome = await world.boot(machine);
    if (outcome.kind !== 'answer') return;
    this.#promise(outcome.value.found);
    for (let round = 1; round <= ROUNDS && !this.#isDead; round++) {
      await world.ask(machine, TIMEOUT_MS, (files) =>
        files.change(round, (more) => this.#promise(more)),
      );
    }
  }

  #promise(more: Partial<KeptNotes>): void {
    if (!this.#isDead) this.#promised = { ...this.#promised, ...more };
  }

  async #open(when: string): Promise<void> {
    const where = `power lost at call ${this.#call} of the small files, ${when}`;
    const outcome = await this.#world.boot(this.#world.machines[0]!);
    if (outcome.kind !== 'answer') {
      const why = outcome.kind === 'error' ? String(outcome.error) : outcome.kind;
      this.violations.push({ invariant: 'I13', what: `${where}: it does not open: ${why}` });
      return;
    }
    const { found } = outcome.value;
    this.violations.push(...checkKept(where, this.#promised, found));
    this.#promised = found;
  }
}
