/** The request and the response as node has them: web objects of either cost as much as a small query. */
import type { HttpBindings } from '@hono/node-server';
import type { Context } from 'hono';

/** What the listener gives every route beside its web request. */
export function nodeBindings(context: Context): HttpBindings {
  return context.env as HttpBindings; // hono leaves its type to who listens (http/server.ts)
}
