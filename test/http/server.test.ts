// Goal: the HTTP edge reads what clients send, refuses what is wrong with the right status, and says so
// in Prometheus' words. Method: a real listener on loopback before a fake node.
import { type Socket, connect } from 'node:net';
import t from 'tap';
import type { PushOutcome } from '../../http/api.ts';
import { PushBodies } from '../../http/push-handler.ts';
import { startHttpServer } from '../../http/server.ts';
import { StarlingError } from '../../model/errors.ts';
import { edge } from '../support/http-edge.ts';

const PUSH_HEADERS = { 'content-type': 'application/x-protobuf', 'content-encoding': 'snappy' };

t.test('push hands the body and the tenant to the node and answers 204', async (t) => {
  const { base, api } = await edge(t);
  for (const path of ['/api/v1/push', '/api/prom/push']) {
    const response = await fetch(base + path, {
      method: 'POST',
      body: Buffer.from('abc'),
      headers: { ...PUSH_HEADERS, 'x-scope-orgid': 'ignored' },
    });
    t.equal(response.status, 204);
    t.equal(await response.text(), '');
  }
  t.same(
    api.pushes.map(({ tenant, body }) => [tenant, Buffer.from(body).toString()]),
    [
      ['anonymous', 'abc'],
      ['anonymous', 'abc'],
    ],
  );
});

t.test(
  'W2, W3 push refuses other encodings and content types with 415 and accepts sloppy right ones',
  async (t) => {
    const { base } = await edge(t);
    const check = async (headers: Record<string, string>, expected: number): Promise<void> => {
      const response = await fetch(`${base}/api/v1/push`, {
        method: 'POST',
        body: Buffer.from('abc'),
        headers,
      });
      t.equal(response.status, expected, JSON.stringify(headers));
    };
    await check({}, 204);
    await check(
      {
        'content-encoding': 'SNAPPY',
        'content-type': 'Application/X-Protobuf; proto=prometheus.WriteRequest',
      },
      204,
    );
    await check({ 'content-type': 'application/x-protobuf;proto="prometheus.WriteRequest"' }, 204);
    await check({ ...PUSH_HEADERS, 'content-encoding': 'zstd' }, 415);
    await check({ ...PUSH_HEADERS, 'content-encoding': 'br' }, 415);
    await check({ ...PUSH_HEADERS, 'content-type': 'application/json' }, 415);
    await check(
      {
        ...PUSH_HEADERS,
        'content-type': 'application/x-protobuf;proto=io.prometheus.write.v2.Request',
      },
      415,
    );
    await check({ ...PUSH_HEADERS, 'content-type': 'application/x-protobuf; proto=foo.Bar' }, 415);
  },
);

t.test('W15 push refuses a declared body over the limit before reading it', async (t) => {
  const { base, api } = await edge(t);
  const status = await new Promise<string>((resolve, reject) => {
    const socket = connect(Number(new URL(base).port), '127.0.0.1', () => {
      socket.write('POST /api/v1/push HTTP/1.1\r\nhost: a\r\ncontent-length: 99999999\r\n\r\nabc');
    });
    socket.once('data', (bytes) => {
      resolve(bytes.toString().split('\r\n', 1)[0] ?? '');
      socket.destroy();
    });
    socket.on('error', reject);
  });
  t.equal(status, 'HTTP/1.1 413 Payload Too Large');
  t.equal(api.pushes.length, 0);
});

t.test(
  'W13, W14 push hands over nothing when the client leaves, and 408 when the body does not arrive',
  async (t) => {
    const { base, api, clock } = await edge(t);
    const open = (): Promise<{ socket: ReturnType<typeof connect>; answer: Promise<string> }> =>
      new Promise((resolve) => {
        const socket = connect(Number(new URL(base).port), '127.0.0.1', () => {
          socket.write(
            'POST /api/v1/push HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nabc',
            () => {
              const answer = new Promise<string>((done) => {
                let text = '';
                socket.on('data', (bytes) => (text += bytes.toString()));
                socket.on('close', () => done(text));
              });
              setImmediate(() => resolve({ socket, answer }));
            },
          );
        });
      });
    const left = await open();
    left.socket.destroy();
    await left.answer;
    const slow = await open();
    let answer: string | undefined;
    void slow.answer.then((text) => (answer = text));
    while (answer === undefined) {
      clock.advance(31_000);
      await new Promise((resolve) => setImmediate(resolve));
    }
    t.match(answer, /^HTTP\/1\.1 408/);
    t.match(answer, /request\.body_timeout/);
    t.equal(api.pushes.length, 0);
  },
);

/** A request whose body comes in chunks and never ends by itself. */
function chunked(base: string, head: string): { readonly socket: Socket; answer: Promise<string> } {
  const socket = connect(Number(new URL(base).port), '127.0.0.1');
  const answer = new Promise<string>((resolve) => {
    let text = '';
    socket.on('data', (bytes) => (text += bytes.toString()));
    socket.on('error', () => undefined); // cut while we still send
    socket.on('close', () => resolve(text));
  });
  socket.write(`${head}\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n`);
  return { socket, answer };
}

const chunkOf = (bytes: number): string => `${bytes.toString(16)}\r\n${'x'.repeat(bytes)}\r\n`;

t.test('a chunked form over its bound is 413 before it ends', async (t) => {
  const { base } = await edge(t);
  for (const path of ['/prometheus/api/v1/query', '/ring']) {
    const type = 'content-type: application/x-www-form-urlencoded';
    const { answer, socket } = chunked(
      base,
      `POST ${path} HTTP/1.1\r\nconnection: close\r\n${type}`,
    );
    for (let i = 0; i < 5; i++) socket.write(chunkOf(1024 * 1024));
    t.match(await answer, /^HTTP\/1\.1 413/, path);
  }
});

t.test('bodies of pushes are bounded together, and given back however they end', async (t) => {
  const pushBodies = new PushBodies(100);
  const gate: { open?: () => void } = {};
  const push = (): Promise<PushOutcome> =>
    new Promise((resolve) => (gate.open = () => resolve({ samplesStored: 1, refused: undefined })));
  const { base, clock } = await edge(t, { pushBodies, api: { push } });
  const post = (bytes: number): Promise<Response> =>
    fetch(`${base}/api/v1/push`, { method: 'POST', body: Buffer.alloc(bytes) });
  const first = post(60);
  while (gate.open === undefined) await new Promise((resolve) => setImmediate(resolve));
  const second = await post(60);
  t.equal(second.status, 503);
  t.ok(second.headers.get('retry-after'));
  t.match(await second.json(), { errorId: 'node.overloaded' });
  t.equal(pushBodies.bytes, 60);
  gate.open();
  t.equal((await first).status, 204);
  t.equal(pushBodies.bytes, 0);
  const slow = chunked(base, 'POST /api/v1/push HTTP/1.1');
  slow.socket.write(chunkOf(50));
  while (pushBodies.bytes === 0) await new Promise((resolve) => setImmediate(resolve));
  clock.advance(31_000);
  t.match(await slow.answer, /^HTTP\/1\.1 408/);
  t.equal(pushBodies.bytes, 0);
});

t.test(
  'drain() refuses what is new and waits for what is in flight, up to its bound',
  async (t) => {
    const gates: (() => void)[] = [];
    const push = (): Promise<PushOutcome> =>
      new Promise((done) => gates.push(() => done({ samplesStored: 1, refused: undefined })));
    const check = async (isAnswered: boolean): Promise<void> => {
      gates.length = 0;
      const { base, clock, server } = await edge(t, { api: { push } });
      const post = (): Promise<Response> =>
        fetch(`${base}/api/v1/push`, { method: 'POST', body: Buffer.from('x') });
      const first = post();
      first.catch(() => undefined); // cut by the teardown when nobody answers
      while (gates.length === 0) await new Promise((resolve) => setImmediate(resolve));
      let isDrained = false;
      const drained = server.drain(1000).then(() => (isDrained = true));
      const refused = await post();
      t.equal(refused.status, 503);
      t.equal(refused.headers.get('retry-after'), '2');
      t.match(await refused.json(), { errorId: 'node.not_ready', error: /stopping/ });
      t.equal((await fetch(`${base}/ready`)).status, 200, 'probes are answered until the end');
      t.equal(isDrained, false);
      if (isAnswered) gates[0]?.();
      else clock.advance(1001);
      await drained;
      if (isAnswered) t.equal((await first).status, 204);
    };
    await check(true);
    await check(false);
  },
);

t.test('errors of a push keep their status, id and Retry-After', async (t) => {
  const check = async (
    error: StarlingError,
    status: number,
    errorType: string,
    retryAfter: string | null,
  ): Promise<void> => {
    const { base } = await edge(t, { api: { push: () => Promise.reject(error) } });
    const response = await fetch(`${base}/api/v1/push`, { method: 'POST', body: Buffer.from('x') });
    t.equal(response.status, status);
    t.equal(response.headers.get('retry-after'), retryAfter);
    t.match(await response.json(), {
      status: 'error',
      errorType,
      errorId: error.id,
      error: error.message,
    });
  };
  await check(
    new StarlingError('write.no_quorum', { acks: 1, needed: 2, why: 'b is down' }),
    503,
    'unavailable',
    '2',
  );
  await check(
    new StarlingError('limit.ingestion_rate', { samples: 5, samplesPerSecond: 1, burst: 2 }),
    429,
    'too_many_requests',
    '2',
  );
  await check(new StarlingError('snappy.corrupt', { why: 'empty body' }), 400, 'bad_data', null);
  await check(new StarlingError('internal', undefined, new Error('secret')), 500, 'internal', null);
  const refused = new StarlingError('series.missing_metric_name', { series: '{a="b"}' });
  const { base } = await edge(t, { api: { push: async () => ({ samplesStored: 3, refused }) } });
  const response = await fetch(`${base}/api/v1/push`, { method: 'POST', body: Buffer.from('x') });
  t.equal(response.status, 400);
  t.match(await response.json(), { errorId: 'series.missing_metric_name' });
});

t.test(
  'W43 with multi-tenancy on the tenant is required and checked, on writes and reads',
  async (t) => {
    const { base, api } = await edge(t, { multitenancy: true });
    const check = async (
      tenant: string | undefined,
      status: number,
      readStatus = status,
    ): Promise<void> => {
      const headers = tenant === undefined ? {} : { 'x-scope-orgid': tenant };
      const push = await fetch(`${base}/api/v1/push`, {
        method: 'POST',
        body: Buffer.from('x'),
        headers,
      });
      t.equal(push.status, status === 200 ? 204 : status, `push as ${tenant}`);
      const query = await fetch(`${base}/prometheus/api/v1/query?query=up`, { headers });
      t.equal(query.status, readStatus, `query as ${tenant}`);
    };
    await check(undefined, 401);
    for (const bad of ['..', '.', 'a/b', 'x'.repeat(151), '%2e%2e', 'a, b', 'a b', 'ü'])
      await check(bad, 400);
    await check('a|b', 400, 422);
    for (const good of ['team-a', '__proto__', 'constructor', 'CON', 'A', 'a', "a!-_.*'()"])
      await check(good, 200);
    t.same(new Set(api.queries.map(({ tenant }) => tenant)).size, 7);
  },
);

t.test('query and query_range read their parameters as Prometheus does', async (t) => {
  const { base, api, clock } = await edge(t);
  const ask = async (
    path: string,
    init?: RequestInit,
  ): Promise<(typeof api.queries)[number] | undefined> => {
    const response = await fetch(`${base}/prometheus/api/v1/${path}`, init);
    t.equal(response.status, 200, path);
    t.same(await response.json(), {
      status: 'success',
      data: { resultType: 'vector', result: [] },
    });
    return api.queries.at(-1);
  };
  t.match(await ask('query?query=up'), {
    query: 'up',
    startMs: clock.wallMs(),
    endMs: clock.wallMs(),
    stepMs: 0,
  });
  t.match(await ask('query?query=up&time=1.5'), { startMs: 1500 });
  t.match(
    await ask('query?query=up&time=2023-11-14T22:13:20.5Z&limit=7&timeout=1m30s&lookback_delta=10'),
    { startMs: 1_700_000_000_500, limit: 7, timeoutMs: 90_000, lookbackMs: 10_000 },
  );
  t.match(await ask('query_range?query=up&start=0&end=60&step=15s'), {
    startMs: 0,
    endMs: 60_000,
    stepMs: 15_000,
  });
  const form = {
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: 'query=sum(up)&start=0&end=1&step=0.5',
  };
  t.match(await ask('query_range?query=ignored', form), { query: 'sum(up)', stepMs: 500 });
});

t.test('Q5, Q20 bad parameters are 400, naming the parameter', async (t) => {
  const { base } = await edge(t);
  const check = async (path: string, message: RegExp): Promise<void> => {
    const response = await fetch(`${base}/prometheus/api/v1/${path}`);
    t.equal(response.status, 400, path);
    t.match(await response.json(), { status: 'error', errorType: 'bad_data', error: message });
  };
  await check('query', /"query"/);
  await check('query?query=up&time=NaN', /"time".*timestamp/);
  await check('query?query=up&time=yesterday', /"time"/);
  await check('query?query=up&time=1e300', /"time"/);
  await check('query?query=up&limit=-1', /limit must be non-negative/);
  await check('query?query=up&limit=1e99', /limit/);
  await check('query?query=up&timeout=-1s', /"timeout"/);
  await check('query_range?query=up&start=0&end=1&step=0', /resolution/);
  await check('query_range?query=up&start=0&end=1&step=-1', /resolution/);
  await check('query_range?query=up&start=2&end=1&step=1', /before start/);
  await check('query_range?query=up&start=0&end=11001&step=1', /11,000 points/);
  await check('query_range?query=up&start=0&end=1&step=1x', /duration/);
  await check('series', /no match\[\]/);
  await check('series?match[]=up&start=5&end=4', /before start/);
  await check(`series?${'match[]=up&'.repeat(101)}`, /limit is 100/);
});

t.test('series, labels and label values answer in the envelope', async (t) => {
  const { base, api } = await edge(t);
  const ask = async (path: string): Promise<unknown> =>
    (await fetch(`${base}/api/prom/api/v1/${path}`)).text();
  t.equal(
    await ask('series?match[]=up&limit=3'),
    '{"status":"success","data":[{"__name__":"up","__proto__":"x"}]}',
  );
  t.match(api.seriesRequests.at(-1), {
    limit: 3,
    selectors: [[{ name: '__name__', type: '=', value: 'up' }]],
  });
  t.equal(await ask('labels?start=1&end=2'), '{"status":"success","data":["__name__"]}');
  t.match(api.seriesRequests.at(-1), {
    selectors: [],
    range: { minTimeMs: 1000, maxTimeMs: 2000 },
  });
  t.equal(
    await ask('label/U__a_2e_b__c/values'),
    '{"status":"success","data":["a.b_c"],"warnings":["results truncated due to limit"]}',
  );
  t.equal(await ask('metadata'), '{"status":"success","data":{}}');
});

t.test('pages are HTML for people and JSON for programs, and every value is escaped', async (t) => {
  const { base, api } = await edge(t);
  const ask = async (path: string, accept: string): Promise<string> =>
    (await fetch(base + path, { headers: { accept } })).text();
  t.match(JSON.parse(await ask('/ring', 'application/json')), {
    replicationFactor: 1,
    instances: [{ id: '<b>' }],
  });
  const page = await ask('/ring', 'text/html');
  t.match(page, /&lt;b&gt;/);
  t.notMatch(page, /<b>/);
  t.match(JSON.parse(await ask('/memberlist', '*/*')), { counters: { 'dropped.label': 2 } });
  t.match(await ask('/memberlist', 'text/html'), /dropped\.label/);
  t.match(await ask('/services', 'text/html'), /Running/);
  t.match(await ask('/', 'text/html'), /href="\/ring"/);
  t.equal(await ask('/config', '*/*'), 'http: {}\n');
  t.equal(await ask('/metrics', '*/*'), 'up 1\n');
  t.equal(await ask('/ready', '*/*'), 'ready\n');
  t.match(await ask('/nowhere', '*/*'), /request\.not_found/);
  t.match(await ask('/prometheus/api/v1/status/buildinfo', '*/*'), /"version":"0\.0\.0-test"/);
  const response = await fetch(`${base}/ring`, {
    method: 'POST',
    redirect: 'manual',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: 'forget=node-9',
  });
  t.equal(response.status, 303);
  t.same(api.forgotten, ['node-9']);
});

t.test('/ready says why it is not', async (t) => {
  const { base } = await edge(t, { api: { notReady: () => ['joining', 'replaying the log'] } });
  const response = await fetch(`${base}/ready`);
  t.equal(response.status, 503);
  t.equal(await response.text(), 'not ready: joining; replaying the log\n');
});

t.test('C7 a port in use is a plain sentence', async (t) => {
  const { base, api, clock } = await edge(t);
  const again = startHttpServer({
    api,
    clock,
    listen: new URL(base).host,
    multitenancy: false,
    parseDate: Date.parse,
    version: '',
  });
  await t.rejects(again, { id: 'config.invalid', message: /the port is already in use/ });
});
