/** The HTTP edge of a node before a fake one: a real listener on loopback, on a clock that stands still. */
import type { NodeApi } from '../../http/api.ts';
import type { PushBodies } from '../../http/push-handler.ts';
import { type HttpServer, startHttpServer } from '../../http/server.ts';
import { type FakeApi, createFakeApi } from './fake-api.ts';
import { FakeClock } from './fake-clock.ts';

export interface Edge {
  readonly base: string;
  readonly api: FakeApi;
  readonly clock: FakeClock;
  readonly server: HttpServer;
}

/** Ends with the test. */
export async function edge(
  t: { teardown(action: () => unknown): unknown },
  options: {
    readonly multitenancy?: boolean;
    readonly api?: Partial<NodeApi>;
    readonly pushBodies?: PushBodies;
  } = {},
): Promise<Edge> {
  const api = createFakeApi(options.api);
  const clock = new FakeClock();
  const server = await startHttpServer({
    api,
    clock,
    listen: '127.0.0.1:0',
    multitenancy: options.multitenancy ?? false,
    parseDate: Date.parse,
    version: '0.0.0-test',
    ...(options.pushBodies === undefined ? {} : { pushBodies: options.pushBodies }),
  });
  t.teardown(() => {
    server.destroy();
    return server.close();
  });
  return { base: `http://${server.address}`, api, clock, server };
}
