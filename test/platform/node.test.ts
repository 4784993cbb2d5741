/**
 * Goal: the real platform survives what machines do: killed processes, crashed and hanging threads,
 * hostile bytes and addresses. Method: child processes that are killed, threads that end themselves,
 * published vectors of the ciphers.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdir, readdir, symlink, writeFile } from 'node:fs/promises';
import { setImmediate as turnOfLoop } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import { type ErrorId, StarlingError } from '../../model/errors.ts';
import { createNodeCiphers } from '../../platform/node/ciphers.ts';
import { createNodeDatagrams } from '../../platform/node/datagrams.ts';
import { createNodeDisk } from '../../platform/node/disk.ts';
import { createNodePlatform } from '../../platform/node/index.ts';
import { createNodeClock } from '../../platform/node/clock.ts';
import { TurnQueue } from '../../platform/turn-queue.ts';
import { DurationCounts, LoopMeter } from '../../platform/node/loop-meter.ts';
import { createNodeRandom } from '../../platform/node/random.ts';
import { type WorkersOptions, createNodeWorkers } from '../../platform/node/workers.ts';
import { createGrpcStreams } from '../../proto/grpc-streams.ts';

const CHILD = fileURLToPath(new URL('../support/platform-child.js', import.meta.url));
const JOBS = new URL('../support/worker-jobs.js', import.meta.url);
const childArguments = (...words: string[]): string[] => [CHILD, ...words];

/** Starts the child and resolves with its first line. */
async function firstLine(child: ChildProcess): Promise<string> {
  let text = '';
  for await (const part of child.stdout ?? []) {
    text += String(part);
    if (text.includes('\n')) break;
  }
  return text.trim();
}

/** What the refusal of a call must look like. */
interface Refusal {
  readonly id: ErrorId;
  readonly message?: RegExp;
  readonly cause?: unknown;
}

async function checkRefused(t: Test, work: Promise<unknown>, expected: Refusal): Promise<void> {
  const error = await work.then(
    () => undefined,
    (error: unknown) => error,
  );
  t.match(error, expected);
}

const LOCKED: Refusal = { id: 'disk.locked' };

t.test('Disk.lock(): a killed process holds nothing, a stopped one everything', async (t) => {
  const deep = 'd'.repeat(120); // longer than a socket's address may be
  const directory = `${t.testdir({ [deep]: {} })}/${deep}`;
  const disk = createNodeDisk();
  const holder = spawn(process.execPath, childArguments('lock', directory));
  t.teardown(() => holder.kill('SIGKILL'));
  t.equal(await firstLine(holder), 'held');
  await checkRefused(t, disk.lock(directory), LOCKED);
  holder.kill('SIGSTOP');
  await checkRefused(t, disk.lock(directory), LOCKED);
  const ended = new Promise((resolve) => holder.once('exit', resolve));
  holder.kill('SIGKILL');
  await ended;
  const lock = await disk.lock(directory);
  t.equal((await readdir(directory)).length, 1, 'what the dead one left is swept away');
  t.equal(
    await firstLine(spawn(process.execPath, childArguments('lock', directory))),
    'disk.locked',
  );
  await lock.release();
  t.strictSame(await readdir(directory), []);
});

t.test('Disk.lock(): of processes that race one at a time holds it', async (t) => {
  const directory = t.testdir();
  const run = promisify(execFile);
  const outputs = await Promise.all(
    [1, 2, 3].map(() => run(process.execPath, childArguments('race', directory))),
  );
  // A process may never have had its turn.
  const verdicts = outputs.flatMap(({ stdout }) =>
    stdout.split('\n').filter((line) => line !== ''),
  );
  t.strictSame(new Set(verdicts), new Set(['held']));
});

t.test('Disk.lock(): without sockets the pid and its start time tell', async (t) => {
  const disk = createNodeDisk();
  const nonce = '0123456789abcdef';
  const check = async (name: string, isLocked: boolean): Promise<void> => {
    const directory = t.testdir({ [name]: '' });
    if (isLocked) await checkRefused(t, disk.lock(directory), LOCKED);
    else await (await disk.lock(directory)).release();
  };
  await check(`LOCK.${process.ppid}..${nonce}`, true);
  await check(`LOCK.${process.ppid}.1.${nonce}`, false);
  await check(`LOCK.4194304..${nonce}`, false);
  await check('LOCK', false);
});

t.test('Disk.open() does not follow a symbolic link', async (t) => {
  const directory = t.testdir({ outside: 'keep me' });
  await mkdir(`${directory}/data`);
  await symlink('../outside', `${directory}/data/link`);
  const disk = createNodeDisk();
  for (const mode of ['create', 'read', 'read-write'] as const) {
    await t.rejects(disk.open(`${directory}/data/link`, mode), { code: 'ELOOP' });
  }
  await disk.removeTree(`${directory}/data`);
  t.equal(Buffer.from(await disk.readFile(`${directory}/outside`)).toString(), 'keep me');
});

function openWorkers(
  t: Test,
  options: Partial<WorkersOptions> = {},
): ReturnType<typeof createNodeWorkers> {
  const workers = createNodeWorkers({ threads: 1, jobsModule: JOBS, queueMax: 4, ...options });
  t.teardown(() => workers.close());
  return workers;
}

t.test('Workers.run(): answers, errors and buffers cross the border', async (t) => {
  const workers = openWorkers(t);
  t.strictSame(await workers.run('echo', { a: [1, 2] }), { a: [1, 2] });
  const bytes = new Uint8Array([1, 2, 3]);
  const back = await workers.run<Uint8Array>('move', bytes, [bytes.buffer]);
  t.strictSame([...back], [1, 2, 3]);
  t.equal(bytes.length, 0, 'a moved buffer is gone here');
  await checkRefused(t, workers.run('refuse', 0), { id: 'tenant.invalid', message: /"x" is bad/ });
  await checkRefused(t, workers.run('fail', 0), { id: 'internal', cause: /the job broke/ });
  await checkRefused(t, workers.run('none', 0), { id: 'internal', cause: /there is no job none/ });
  await checkRefused(t, workers.run('uncloneable', 0), { id: 'internal' });
  await checkRefused(
    t,
    workers.run('echo', () => undefined),
    { id: 'internal' },
  );
  t.equal(await workers.run('echo', 'alive'), 'alive');
});

t.test(
  'Workers.run(): what a job is done with is given back once its answer has left',
  async (t) => {
    const workers = openWorkers(t);
    const run = (bytes: Uint8Array): Promise<unknown> => workers.run('spend', bytes);
    t.strictSame(await run(Uint8Array.of(1, 2)), { left: 0, bytes: Uint8Array.of(1, 2) });
    t.strictSame(await run(Uint8Array.of(3)), { left: 0, bytes: Uint8Array.of(3) });
    t.equal(await workers.run('echo', 'alive'), 'alive');
  },
);

t.test(
  'Workers.run(): the queue is bounded, and a thread that ends fails only its job',
  async (t) => {
    const workers = openWorkers(t, { queueMax: 2 });
    const jobs = ['exit', 'echo', 'echo', 'echo'].map((name, i) => workers.run(name, i));
    const outcomes = await Promise.allSettled(jobs);
    const told = outcomes.map((one) =>
      one.status === 'fulfilled' ? one.value : (one.reason as StarlingError).id,
    );
    t.strictSame(told, ['node.worker_ended', 1, 2, 'node.overloaded']);
  },
);

t.test(
  'Workers.run(): a job that hangs is stopped, a module that is not there fails',
  async (t) => {
    const workers = openWorkers(t, { jobTimeoutMs: 1500 });
    const hanging = workers.run('hang', 0);
    await checkRefused(t, hanging, { id: 'request.deadline', message: /the job hang .* 1500 ms/ });
    const lost = openWorkers(t, { jobsModule: new URL('./nowhere.ts', JOBS) });
    await checkRefused(t, lost.run('echo', 0), {
      id: 'node.worker_ended',
      cause: { message: /Cannot find module/ },
    });
    await checkRefused(t, lost.run('echo', 0), { id: 'node.worker_ended' });
  },
);

t.test('Workers.run(): a job that nobody waits for frees its thread or its place', async (t) => {
  const workers = openWorkers(t, { queueMax: 2, stopTimeoutMs: 10 });
  const leaving = new AbortController();
  const reason = new StarlingError('query.timeout', { timeoutMs: 5 });
  const left = ['hang', 'echo'].map((name) => workers.run(name, 0, [], leaving.signal));
  const next = workers.run('echo', 'next');
  leaving.abort(reason);
  for (const one of left) await checkRefused(t, one, { id: 'query.timeout' });
  t.equal(await next, 'next');
  const late = workers.run('echo', 0, [], leaving.signal);
  await checkRefused(t, late, { id: 'query.timeout' });
});

t.test('Workers.close(): every job settles', async (t) => {
  const workers = openWorkers(t);
  const jobs = [workers.run('hang', 0), workers.run('echo', 0)];
  await Promise.all([
    ...jobs.map((job) => checkRefused(t, job, { id: 'request.canceled' })),
    workers.close(),
  ]);
  await checkRefused(t, workers.run('echo', 0), { id: 'request.canceled' });
  await workers.close();
});

t.test('Workers: an idle pool lets the process end', async (t) => {
  const { stdout } = await promisify(execFile)(process.execPath, childArguments('echo', JOBS.href));
  t.equal(stdout, 'from a thread\n');
});

t.test('Log: JSON lines, secrets masked, nothing lost at exit', async (t) => {
  const { stderr } = await promisify(execFile)(process.execPath, childArguments('log'));
  const lines = stderr
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  t.match(lines, [
    { level: 30, msg: 'plain', time: Number },
    { level: 40, msg: 'facts', tenant: 'a', count: 3, secret: '<redacted>' },
    { level: 50, msg: 'broken', error: { message: 'why it broke', stack: /Error/ } },
  ]);
  t.notMatch(stderr, /hunter2|abc|not told/);
});

const hex = (text: string): Uint8Array => Buffer.from(text.replace(/\s/g, ''), 'hex');

t.test('Ciphers: published vectors; a cut or changed packet does not open', (t) => {
  const ciphers = createNodeCiphers();
  // The GCM specification, test case 16.
  const key = hex('feffe9928665731c6d6a8f9467308308 feffe9928665731c6d6a8f9467308308');
  const nonce = hex('cafebabefacedbaddecaf888');
  const aad = hex('feedfacedeadbeeffeedfacedeadbeef abaddad2');
  const plain = hex(
    'd9313225f88406e5a55909c5aff5269a 86a7a9531534f7da2e4c303d8a318a72' +
      '1c3c0c95956809532fcf0e2449a6b525 b16aedf5aa0de657ba637b39',
  );
  const sealed = ciphers.seal(key, nonce, aad, plain);
  t.strictSame(
    Buffer.from(sealed).toString('hex'),
    '522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa' +
      '8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662' +
      '76fc6ece0f4e1768cddf8853bb2d551b',
  );
  t.strictSame(ciphers.open(key, nonce, aad, sealed), Buffer.from(plain));
  for (let cut = 0; cut < sealed.length; cut++) {
    if (ciphers.open(key, nonce, aad, sealed.subarray(0, cut)) !== undefined)
      t.fail(`${cut} bytes open`);
  }
  for (let i = 0; i < sealed.length; i++) {
    const bad = Uint8Array.from(sealed, (byte, at) => (at === i ? byte ^ 1 : byte));
    if (ciphers.open(key, nonce, aad, bad) !== undefined) t.fail(`opens with byte ${i} changed`);
  }
  t.equal(ciphers.open(key, nonce, new Uint8Array(0), sealed), undefined);
  t.equal(ciphers.open(key.subarray(1), nonce, aad, sealed), undefined);
  t.equal(ciphers.open(key, new Uint8Array(0), aad, sealed), undefined);
  // RFC 5869, test case 3.
  t.equal(
    Buffer.from(
      ciphers.deriveKey(new Uint8Array(22).fill(0x0b), new Uint8Array(0), '', 42),
    ).toString('hex'),
    '8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8',
  );
  // RFC 4231, test case 2.
  t.equal(
    Buffer.from(
      ciphers.hmacSha256(Buffer.from('Jefe'), Buffer.from('what do ya want for nothing?')),
    ).toString('hex'),
    '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843',
  );
  t.end();
});

t.test('Random: floats fill [0, 1), words 32 bits', (t) => {
  const random = createNodeRandom();
  const floats = Array.from({ length: 5000 }, () => random.float());
  t.ok(floats.every((float) => float >= 0 && float < 1));
  t.ok(Math.abs(floats.reduce((sum, float) => sum + float, 0) / 5000 - 0.5) < 0.05);
  const words = Array.from({ length: 5000 }, () => random.uint32());
  t.ok(words.every((word) => Number.isInteger(word) && word >= 0 && word < 2 ** 32));
  t.ok(new Set(words).size > 4990);
  t.not(
    Buffer.from(random.bytes(16)).toString('hex'),
    Buffer.from(random.bytes(16)).toString('hex'),
  );
  t.equal(random.bytes(0).length, 0);
  t.end();
});

t.test('Datagrams: what cannot be sent is counted, errors say what to do', async (t) => {
  const datagrams = createNodeDatagrams();
  const socket = await datagrams.bind('127.0.0.1:0', () => undefined);
  for (const address of ['localhost:80', '127.0.0.1:0', '[::1]:80', '256.0.0.1:80']) {
    socket.send(address, Buffer.from('x'));
  }
  t.equal(datagrams.sendFailures, 4);
  const check = (address: string, message: RegExp): Promise<unknown> =>
    checkRefused(
      t,
      datagrams.bind(address, () => undefined),
      { id: 'config.invalid', message },
    );
  await check('localhost:7946', /--gossip.listen localhost:7946: must be an IP address and a port/);
  await check(socket.address, /the port is already in use/);
  await check('203.0.113.1:0', /EADDRNOTAVAIL/);
  await socket.close();
  socket.send('127.0.0.1:9', Buffer.from('x'));
  t.equal(datagrams.sendFailures, 5);
});

t.test('DurationCounts tells percentiles of what it was given', (t) => {
  const counts = new DurationCounts();
  t.equal(counts.percentileMs(0.99), 0);
  for (let i = 0; i < 98; i++) counts.add(1);
  for (let i = 0; i < 2; i++) counts.add(100);
  t.ok(counts.percentileMs(0.5) >= 1 && counts.percentileMs(0.5) < 1.2);
  t.ok(counts.percentileMs(0.99) > 80 && counts.percentileMs(0.99) <= 100);
  counts.add(1e9);
  t.equal(counts.percentileMs(1), 1e9, 'longer than all buckets');
  counts.clear();
  t.equal(counts.maxMs, 0);
  t.end();
});

t.test('TurnQueue gives each slice a turn of its own, in order', async (t) => {
  const turns = new TurnQueue(createNodeClock());
  const log: string[] = [];
  let turn = 0;
  let isOver = false;
  const count = (): void => {
    turn++;
    if (!isOver) setImmediate(count);
  };
  setImmediate(count);
  const slice = async (name: string): Promise<void> => {
    await turns.next();
    log.push(`${name} in turn ${turn}`);
  };
  const long = async (): Promise<void> => {
    await slice('b');
    await turns.again();
    log.push(`B in turn ${turn}`);
  };
  await Promise.all([slice('a'), long(), slice('c')]);
  await slice('d');
  isOver = true;
  t.same(
    log.map((line) => line[0]),
    ['a', 'b', 'B', 'c', 'd'],
    'what began goes on first',
  );
  t.equal(new Set(log.map((line) => line.slice(2))).size, 5, log.join(', '));
});

t.test('TurnQueue lets who comes alone begin at once, and who comes after it wait', async (t) => {
  const due: (() => void)[] = [];
  const nextTurn = (callback: () => void): void => void due.push(callback);
  const turns = new TurnQueue({ ...createNodeClock(), nextTurn });
  let log = '';
  const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  const check = async (work: 'turn' | readonly string[], expected: string): Promise<void> => {
    if (work === 'turn') for (const callback of due.splice(0)) callback();
    else for (const name of work) void turns.next().then(() => (log += name));
    await settled();
    t.equal(log, expected, String(work));
  };
  await check(['a'], 'a');
  await check(['b', 'c'], 'a');
  await check('turn', 'ab');
  await check(['d'], 'ab');
  await check('turn', 'abc');
  await check('turn', 'abcd');
  await check(['e'], 'abcd');
  await check('turn', 'abcde');
  await check('turn', 'abcde');
  await check(['f'], 'abcdef');
  t.equal(due.length, 1, 'and one callback tells that its turn is over');
});

t.test('LoopMeter sees a slice that hogs the loop', async (t) => {
  const meter = new LoopMeter();
  const isTold = meter.read().sliceCpuMs !== undefined;
  await new Promise((resolve) => setTimeout(resolve, 30));
  const { user } = process.cpuUsage();
  while (process.cpuUsage().user - user < 200_000);
  await new Promise((resolve) => setTimeout(resolve, 30));
  const { delayMs, sliceCpuMs } = meter.read();
  t.ok(delayMs.max > 50, `late by ${delayMs.max} ms`);
  t.equal(isTold, process.platform === 'linux');
  if (isTold) t.ok((sliceCpuMs?.max ?? 0) > 50, `a slice of ${sliceCpuMs?.max ?? 0} ms`);
  t.equal(meter.read().delayMs.max < delayMs.max, true, 'a reading starts anew');
  meter.close();
  t.equal(meter.read().sliceCpuMs, undefined);
});

t.test('LoopMeter tells no turn as longer than it was', async (t) => {
  const meter = new LoopMeter();
  await turnOfLoop();
  meter.read();
  let longestMs = 0;
  let fromMs = performance.now();
  for (let turn = 0; turn < 2000; turn++) {
    while (performance.now() - fromMs < 0.1);
    await turnOfLoop();
    const nowMs = performance.now();
    longestMs = Math.max(longestMs, nowMs - fromMs);
    fromMs = nowMs;
  }
  const { sliceCpuMs } = meter.read();
  if (sliceCpuMs !== undefined) t.ok(sliceCpuMs.max <= longestMs + 0.1, `${sliceCpuMs.max} ms`);
  t.ok(longestMs > 0);
  meter.close();
});

t.test('createNodePlatform() has every seam', async (t) => {
  const directory = t.testdir();
  const platform = await createNodePlatform({
    bucket: { kind: 'file', directory: `${directory}/bucket` },
    logLevel: 'error',
    rpc: createGrpcStreams(),
    workers: { threads: 1, jobsModule: JOBS, queueMax: 1 },
  });
  const path = `${directory}/a`;
  await writeFile(path, 'x');
  await platform.bucket.put('a/b', Buffer.from('c'));
  t.equal((await platform.bucket.head('a/b'))?.sizeBytes, 1);
  t.equal((await platform.disk.readFile(path)).length, 1);
  t.ok(platform.clock.wallMs() > 1.6e12);
  await platform.workers.close();
});
