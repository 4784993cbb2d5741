// Goal: the fast path from raw label bytes to canonical ones agrees with the slow path, in what it
// gives and in what it refuses.
// Method: label sets of every odd kind, and mutated bytes (seed printed), through both.
import fc from 'fast-check';
import t from 'tap';
import { StarlingError } from '../../model/errors.ts';
import { type Limits, SINGLE_TENANT_LIMITS } from '../../model/limits.ts';
import { viewOf } from '../../model/wire/fingerprint.ts';
import { encodeLabels } from '../../model/wire/labels-codec.ts';
import { LabelRoom, canonicalLabelBytes, canonicalLabels } from '../../model/wire/raw-labels.ts';
import { field, labelMessage } from '../support/remote-write-bodies.ts';

const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31));

function rawLabels(pairs: readonly (readonly [string, string])[]): Buffer {
  return Buffer.concat(pairs.map(([name, value]) => field(1, labelMessage(name, value))));
}

function outcome(work: () => Uint8Array): string {
  try {
    return Buffer.from(work()).toString('hex');
  } catch (error) {
    if (!(error instanceof StarlingError)) throw error;
    return `${error.id}: ${error.message}`;
  }
}

function bothAgree(bytes: Buffer, limits: Limits = SINGLE_TENANT_LIMITS): boolean {
  const view = viewOf(bytes);
  const room = new LabelRoom();
  const fast = outcome(() => canonicalLabelBytes(view, 0, bytes.length, limits, room));
  const slow = outcome(() => encodeLabels(canonicalLabels(view, 0, bytes.length, limits)));
  return fast === slow;
}

const text = fc.oneof(
  fc.constantFrom('', 'a', 'b', 'ab', '__name__', '__name', '__proto__', 'é', '\u007f', '\u0080'),
  fc.string({ maxLength: 8 }),
  fc.string({ minLength: 100, maxLength: 140 }),
);
const pairs = fc.array(fc.tuple(text, text), { maxLength: 8 });

t.test(
  `canonicalLabelBytes() takes a fast path that agrees with the slow one (seed ${seed})`,
  async (t) => {
    fc.assert(
      fc.property(pairs, fc.boolean(), (labels, isSorted) => {
        const named = [['__name__', 'up'] as const, ...labels];
        const sorted = [...named].sort(([a], [b]) =>
          Buffer.compare(Buffer.from(a), Buffer.from(b)),
        );
        return bothAgree(rawLabels(isSorted ? sorted : named));
      }),
      { seed, numRuns: 3000 },
    );
    fc.assert(
      fc.property(
        pairs,
        fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 3 }),
        (labels, flips) => {
          const bytes = rawLabels([['__name__', 'up'], ...labels]);
          for (const [at, byte] of flips) bytes[at % bytes.length] = byte;
          return (
            bothAgree(bytes) && bothAgree(bytes.subarray(0, (flips[0]?.[0] ?? 0) % bytes.length))
          );
        },
      ),
      { seed, numRuns: 3000 },
    );
    t.pass();
  },
);

t.test('limits below its shortcuts are left to the slow path', async (t) => {
  const bytes = rawLabels([
    ['__name__', 'up'],
    ['job', 'prometheus'],
  ]);
  const check = (limits: Partial<Limits>): boolean =>
    t.ok(bothAgree(bytes, { ...SINGLE_TENANT_LIMITS, ...limits }), JSON.stringify(limits));
  check({});
  check({ max_label_names_per_series: 1 });
  check({ max_label_names_per_series: 2 });
  check({ max_label_name_length: 7 });
  check({ max_label_name_length: 8 });
  check({ max_label_value_length: 9 });
  check({ max_labels_size_bytes: 22 });
  check({ max_labels_size_bytes: 23 });
  check({ max_label_name_length: 0, max_label_value_length: 0, max_label_names_per_series: 0 });
});
