/**
 * Goal: the real platform keeps the promises that the simulated one keeps. Method: the shared suites
 * of `test/support/conformance`, on this machine's disk, loopback and clock.
 */
import t from 'tap';
import { createNodeClock } from '../../platform/node/clock.ts';
import { createNodeDatagrams } from '../../platform/node/datagrams.ts';
import { createNodeDisk } from '../../platform/node/disk.ts';
import { createGrpcStreams } from '../../proto/grpc-streams.ts';
import { checkClock } from '../support/conformance/clock.ts';
import { checkDatagrams } from '../support/conformance/datagrams.ts';
import { checkDisk, checkDiskAgainstModel } from '../support/conformance/disk.ts';
import { checkRpc } from '../support/conformance/rpc.ts';

const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31));
t.comment(`SEED=${seed}`);

t.test('createNodeDisk() is a Disk', async (t) => {
  const disk = createNodeDisk();
  await checkDisk(t, disk, t.testdir());
  await checkDiskAgainstModel(disk, `${t.testdirName}/model`, { seed, runs: 100 });
});

t.test('createNodeClock() is a Clock', (t) => checkClock(t, createNodeClock()));

t.test('createNodeDatagrams() is a Datagrams', (t) => {
  const datagrams = createNodeDatagrams();
  return checkDatagrams(t, [datagrams, datagrams], ['127.0.0.1', '127.0.0.1']);
});

t.test('createGrpcStreams() is an RpcStreams', (t) => {
  const streams = createGrpcStreams();
  const addresses = { listen: '127.0.0.1:0', nobody: '127.0.0.1:1' };
  return checkRpc(t, [streams, streams], addresses);
});
