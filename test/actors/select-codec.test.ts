// Goal: a select comes out as it went in, and whatever else arrives is refused as corrupt. Method: round trips of every
// field, and a valid message with one field after the other replaced.
import fc from 'fast-check';
import t from 'tap';
import { selectCodec } from '../../actors/ingester/select-codec.ts';
import type { Message } from '../../actors/runtime/index.ts';
import { StarlingError } from '../../model/errors.ts';
import { refusal } from '../support/refusal.ts';

const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31));

const scope = {
  tenant: 'team-a',
  selectors: [[{ name: '__name__', type: '=', value: 'up' }], []],
  range: { minTimeMs: 1, maxTimeMs: 2.5 },
  limit: 0,
};
const hints = {
  newestOnly: true,
  projection: { kind: 'only', names: ['job', '__proto__', ''] },
  value: 'rate',
  settledBeforeMs: -5,
  part: { index: 0, count: 4 },
};
const select: Message & Record<string, unknown> = { type: 'select', scope, hints, content: 'also' };
const end = { digest: 'd', oldestTimeMs: 5, heldFromMs: 7, content: '3-ab' };

const json = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value));
const open = { minTimeMs: Number.NEGATIVE_INFINITY, maxTimeMs: Number.POSITIVE_INFINITY };

// A message is `type` and whatever its codec knows: what else it has must be said to be one.
t.test('a select and its end come out as they went in', async (t) => {
  const check = (message: Message): void => {
    const decoded = selectCodec.decodeMessage(selectCodec.encodeMessage(message));
    t.match(decoded, message);
    t.match(message, JSON.parse(JSON.stringify(decoded)) as object, 'and nothing else');
  };
  check(select);
  check({ ...select, content: 'instead' } as Message);
  check({ type: 'select', scope, hints: { newestOnly: false } } as Message);
  const { range } = (
    selectCodec.decodeMessage(
      selectCodec.encodeMessage({
        ...select,
        scope: { ...scope, range: open },
        hints: { ...hints, settledBeforeMs: Number.POSITIVE_INFINITY },
      } as Message),
    ) as unknown as { readonly scope: typeof scope }
  ).scope;
  t.same(range, open);
  const checkEnd = (answer: object): void => {
    t.match(selectCodec.decodeAnswer(selectCodec.encodeAnswer(answer)), answer);
  };
  checkEnd(end);
  checkEnd({ digest: '', oldestTimeMs: Number.MIN_SAFE_INTEGER });
  checkEnd({ ...end, heldFromMs: Number.POSITIVE_INFINITY });
});

t.test('what is no select is refused as corrupt', async (t) => {
  const check = (value: unknown): void => {
    t.throws(
      () => selectCodec.decodeMessage(json(value)),
      refusal('protobuf.corrupt', /a select/),
      JSON.stringify(value),
    );
  };
  check(null);
  check([]);
  check({});
  check({ ...select, scope: undefined });
  check({ ...select, hints: [] });
  check({ ...select, content: 'never' });
  const inScope = (change: object): void => check({ ...select, scope: { ...scope, ...change } });
  inScope({ tenant: '..' });
  inScope({ tenant: 5 });
  inScope({ selectors: {} });
  inScope({ selectors: [{}] });
  inScope({ selectors: [[{ name: 'a', type: '~', value: '' }]] });
  inScope({ selectors: [[{ name: 'a', type: '=' }]] });
  inScope({ range: { minTimeMs: 'NaN', maxTimeMs: 1 } });
  inScope({ range: { minTimeMs: 1 } });
  inScope({ limit: -1 });
  inScope({ limit: 0.5 });
  const inHints = (change: object): void => check({ ...select, hints: { ...hints, ...change } });
  inHints({ newestOnly: 1 });
  inHints({ projection: { kind: 'all', names: [] } });
  inHints({ projection: { kind: 'only', names: [1] } });
  inHints({ value: 'median' });
  inHints({ settledBeforeMs: '5' });
  inHints({ part: { index: 0, count: 0 } });
  const checkBytes = (bytes: Uint8Array): void => {
    t.throws(() => selectCodec.decodeMessage(bytes), refusal('protobuf.corrupt'));
    t.throws(() => selectCodec.decodeAnswer(bytes), refusal('protobuf.corrupt'));
  };
  checkBytes(Buffer.from('{"scope":'));
  checkBytes(new Uint8Array(0));
  checkBytes(new Uint8Array(4 * 1024 * 1024 + 1).fill(0x20));
  checkBytes(json({ ...end, digest: 5 }));
  checkBytes(json({ ...end, oldestTimeMs: 'soon' }));
});

t.test('a select with some bytes changed is decoded or refused, never anything else', async () => {
  const bytes = selectCodec.encodeMessage(select);
  const changes = fc.array(fc.tuple(fc.nat(bytes.length - 1), fc.nat(255)), { minLength: 1 });
  fc.assert(
    fc.property(changes, (all) => {
      const changed = Uint8Array.from(bytes);
      for (const [at, byte] of all) changed[at] = byte;
      try {
        return selectCodec.decodeMessage(changed).type === 'select';
      } catch (error) {
        return error instanceof StarlingError && error.id === 'protobuf.corrupt';
      }
    }),
    { seed },
  );
});
