/**
 * Loaded into a node that is measured (`node --import`): tells over HTTP what V8 says of its memory, with `/snapshot?PATH`
 * writing a heap snapshot. Main thread only.
 */
import { createServer } from 'node:http';
import { writeHeapSnapshot } from 'node:v8';
import { isMainThread } from 'node:worker_threads';

export interface MemoryReport {
  readonly heapUsedBytes: number;
  readonly heapReservedBytes: number;
  readonly externalBytes: number;
}

const port = process.env['BENCH_MEMORY_PROBE'];
if (isMainThread && port !== undefined) {
  createServer(({ url = '/' }, response) => {
    const [path, file] = url.split('?');
    if (path === '/snapshot') writeHeapSnapshot(file);
    const { external, heapTotal, heapUsed } = process.memoryUsage();
    const report: MemoryReport = {
      heapUsedBytes: heapUsed,
      heapReservedBytes: heapTotal,
      externalBytes: external,
    };
    response.end(JSON.stringify(report));
  })
    .listen(Number(port), '127.0.0.1')
    .unref();
}
