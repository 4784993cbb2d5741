/** How the store-gateway's messages cross between nodes: small asks with msgpack, answers in frames of bytes. */
import { z } from 'zod';
import { hintsSchema, scopeSchema } from '../ingester/codecs.ts';
import { type PayloadCodec, checkedCodec } from '../runtime/index.ts';

const text = z.string();
const scope = scopeSchema.extend({ blocks: z.array(text) });
const summary = z.object({ digest: text, blocks: z.array(text), failures: z.array(text) });

/** What other instances may send to a store-gateway, by message type, and how its answers are read. */
export const storeGatewayCodecs: ReadonlyMap<string, PayloadCodec> = new Map([
  ['read-deletions', checkedCodec('read-deletions', z.object({}), z.null())],
  [
    'blocks-select',
    checkedCodec('blocks-select', z.object({ scope, hints: hintsSchema }), summary),
  ],
  ['blocks-series', checkedCodec('blocks-series', z.object({ scope }), summary)],
  ['blocks-label-names', checkedCodec('blocks-label-names', z.object({ scope }), summary)],
  [
    'blocks-label-values',
    checkedCodec('blocks-label-values', z.object({ scope, name: text }), summary),
  ],
]);
