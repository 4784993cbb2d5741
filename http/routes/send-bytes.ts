/**
 * Answers that are bytes already go to node's response as they are; a `Response` would read them back out of a
 * stream. Nothing is copied: what a slow client has not taken yet waits as these bytes, for as long as the
 * listener lets it.
 */
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response';
import type { Context } from 'hono';
import { nodeBindings } from './node-bindings.ts';

/** Answers 200 with the parts one after the other. */
export function sendBytes(
  context: Context,
  headers: Readonly<Record<string, string>>,
  parts: readonly Uint8Array[],
): Response {
  const { outgoing } = nodeBindings(context);
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  outgoing.writeHead(200, { ...headers, 'content-length': length });
  outgoing.cork(); // one packet for a short answer
  for (const part of parts) outgoing.write(part);
  outgoing.end();
  return RESPONSE_ALREADY_SENT;
}
